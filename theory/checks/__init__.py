"""Checks of derivations that need signals or laws, which themselves use derivations: one module a derivation.

`onset.theory.derivations.get` adds the module's CHECKS to those of the derivation's own module.
"""
