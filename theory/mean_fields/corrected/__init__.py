"""The mean field at finite context, with fluctuating counts.

Predictions are made by `onset.theory.mean_fields.corrected.predict.mean_field_corrected`. `moments` holds the exact
recursion for the sums of layer 2, `base` the loss of logits that fluctuate, `linear` and `softmax` what is particular
to each toy family, `early` the first positions, and `counts` third cumulants.
"""
