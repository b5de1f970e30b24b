"""Checks of derivations that need signals or laws, which are built on derivations: one module for one of theirs.

`onset.theory.derivations.get` adds the module's CHECKS to those that stand beside the statement.
"""
