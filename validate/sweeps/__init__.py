"""Sweeps: settings in a TOML file, as a grid or a list, computed wherever there is a processor, and what came of them as a table."""

from __future__ import annotations

from onset.validate.sweeps.plan import Point, Sweep, load
from onset.validate.sweeps.results import collect, lines, write

__all__ = ["Point", "Sweep", "collect", "lines", "load", "write"]
