"""Compatible training and its measurement: encoders, methods, losses, metrics, and the check."""
