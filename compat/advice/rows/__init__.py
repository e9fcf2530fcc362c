"""Ways to serve queries after an upgrade: one file each, all of them in `registry.py`."""
