"""Compatible models: encoders, training methods and the loop, a model at work, and the gate that checks it."""
