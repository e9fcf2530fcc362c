"""Rules that decide which queries and which checks count as evidence. `registry.py` names all of them."""
