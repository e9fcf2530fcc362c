"""One file for each command, or for each few that belong together. Heavy imports are inside the functions."""
