"""The command line. It computes nothing: a command calls into `compat` or `store` and shows the result."""
