"""Measures of a run in a store, of the seed that it has: numbers."""
