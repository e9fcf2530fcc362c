"""Vectors by a newer model for some rows of a gallery, kept in a log of their own."""
