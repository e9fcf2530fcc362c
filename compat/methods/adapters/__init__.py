"""Closed-form methods: maps between the spaces of two frozen encoders. One file per method."""
