"""Sequences of models: each model's queries among the rows of each earlier one."""
