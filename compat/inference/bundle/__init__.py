"""What a bundle may hold: a schema of its card, its views and its weights, applied before anything is built."""
