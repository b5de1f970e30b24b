"""In-context modular arithmetic."""
