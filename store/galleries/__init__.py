"""Galleries: the log, whose newest version is the truth, and the Parquet files that it lists."""
