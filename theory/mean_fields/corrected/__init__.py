"""The mean field at finite context, with fluctuating counts.

Predictions are made by `onset.theory.mean_fields.corrected.predict.mean_field_corrected`. `moments` holds the exact
recursion for what layer 2 sums, `dynamics` the loss of logits that fluctuate, `families` what is particular to either
toy family.
"""
