"""Looking into causal language models: activations, interventions, head scores, order parameters, formation of heads.

`inspectable` defines what a model must offer and records its activations; `interventions` changes them; `scores` and
`order_parameters` measure a model through that protocol alone; `formation` reads recorded scores of training runs.
"""
