"""Training of a model. `train` tells the story; `data/` is what it learns from, `loop/` is how it learns."""
