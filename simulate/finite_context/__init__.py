"""Exact population dynamics of toy models at finite context."""
