"""Figures, one module each: `compute` takes a suite's results and returns plain data, `draw` turns data into a figure.

`onset.paper.figures.registry` knows them all; a command imports those that it draws.
"""
