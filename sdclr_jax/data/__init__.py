"""Image data sets, long-tail lists, and the batches drawn from them."""
