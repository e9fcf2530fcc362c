"""Advice before an upgrade: the ways to serve queries beside each other, and which of them is worth it."""
