"""Training of a model. `train` is the list of steps, `data/` prepares the data, `loop/` trains."""
