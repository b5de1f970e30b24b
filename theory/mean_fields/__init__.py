"""Dynamics of a handful of order parameters: in the limit T → ∞, and corrected for finite context."""
