"""A model at work: the network of a bundle, loaded and verified, and whatever encodes or searches with it."""
