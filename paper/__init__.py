"""Figures, LaTeX, citations and reports."""

from __future__ import annotations

import logging

from onset.simulate import user_cache

logging.getLogger("matplotlib").addFilter(user_cache.warn_instead)
