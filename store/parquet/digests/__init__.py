"""Digests: of files, of rows, and of items by their content."""
