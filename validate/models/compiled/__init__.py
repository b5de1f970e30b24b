"""Compiled kernels of the transformer's forward and backward pass; `network` calls them."""
