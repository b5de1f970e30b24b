"""Ideal strategies: the laws of the next token that they give."""
