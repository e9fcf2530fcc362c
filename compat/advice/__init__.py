"""Advice before an upgrade: measures the ways to serve queries, and recommends the one that is worth it."""
