"""Stores: one file per training run, prediction or basin; listed, read back and exported."""
