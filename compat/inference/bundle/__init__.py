"""The schema of a bundle: of its card, its views and its weights, checked before anything is built."""
