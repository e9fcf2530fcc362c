"""Retrieval metrics, one file each; `registry` names them."""
