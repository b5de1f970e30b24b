"""What ``onset heads`` does with a language model, and `onset.inspect`.

`scoring` measures head scores; `text` reads a text through the model; `study` gathers everything that is asked of a
model, as plain data for tables, JSON and the page; `training` reads the scores that were recorded of a trained run.
"""
