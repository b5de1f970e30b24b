"""Checks of derivations that need signals or laws, which are built on derivations: one module each, named like the derivation's own.

`onset.theory.derivations.get` adds the module's CHECKS to those that stand beside the statement.
"""
