"""Tasks on which language models are evaluated: examples with answers, read from files or generated.

`examples` says what an example is and how well a model answers; `prompts` makes examples of prompts with choices or
answers, from a JSONL file, a folder of `datasets`, or a task of lm-evaluation-harness; `synthetic` generates tasks that
any model can be given. `importance` says which heads matter for a task, and `pruning` what is left without the others.
"""
