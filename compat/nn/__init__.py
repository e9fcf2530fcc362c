"""Pieces of networks and of linear algebra that know no method: normalisation, classifiers, principal axes."""
