"""Encoders of transformers: `encoder` is the network, `source` reads it, `text` and `image` prepare items."""
