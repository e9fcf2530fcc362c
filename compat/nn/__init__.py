"""Pieces of networks and linear algebra that serve any method: normalisation, classifiers, principal axes."""
