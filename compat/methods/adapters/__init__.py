"""Closed-form methods: maps between the spaces of two encoders at rest. One file a method."""
