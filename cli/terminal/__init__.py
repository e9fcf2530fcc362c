"""Everything that goes to the terminal: printing, escaped characters, the next command, the output of a training."""
