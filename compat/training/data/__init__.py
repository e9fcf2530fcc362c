"""The data of a training: items, their stored vectors, and the batches drawn from them."""
