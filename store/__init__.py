"""The store: galleries registered in place, their version logs, model bundles and check reports.

Speaks numpy, pyarrow, duckdb and object storage. Importing it loads no torch.
"""
