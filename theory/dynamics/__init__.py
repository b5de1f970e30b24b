"""Dynamics of toy models in reduced coordinates: coordinates, gradient descent, Adam and gradient flow."""
