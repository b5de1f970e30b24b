"""Measures of public models: of a model and a seed, numbers."""
