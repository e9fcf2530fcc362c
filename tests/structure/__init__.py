"""The shape of the code, and what the pages say of it."""
