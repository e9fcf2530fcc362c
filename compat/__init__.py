"""Compatible models: encoders, training methods and the loop, a model at work, and the gate that checks it."""

import os

# Before torch is loaded, which reads it then. Threads that wait for each other would otherwise spin: beside other work
# on the same cores, a step of a small net takes many times as long.
WAIT_POLICY = os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
