"""Pure loss functions: data first, hyperparameters keyword-only, one idea a file."""
