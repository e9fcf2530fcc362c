"""The check of a model on a gallery. `check` is the list of its steps, each a file of this folder."""
