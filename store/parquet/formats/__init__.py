"""Rows in other forms than Parquet: JSON lines, Arrow streams and files, folders of data sets, and pipes."""
