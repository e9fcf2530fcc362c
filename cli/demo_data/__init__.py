"""Drawings of the demo, and how they are split."""
