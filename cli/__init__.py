"""The command line. It computes nothing: every command is a call into `compat` or `store` and a way to show the result."""
