"""Closed forms of the plateau: how long a model waits, in which basin it ends, and what sets the time."""
