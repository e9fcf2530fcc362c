"""Measurements: metrics of each query, statistics over queries, an index's recall, sequences of models."""
