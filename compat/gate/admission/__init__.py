"""Rules of which queries, and which checks, may be evidence: a file for each kind, all of them in `registry.py`."""
