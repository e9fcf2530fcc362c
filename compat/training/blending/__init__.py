"""Blends: models that mix the new query in its view with the old encoder's vector of it."""
