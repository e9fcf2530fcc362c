"""The training loop: `fit` trains a `Task` for a `Schedule`, and `refit` trains its method further."""
