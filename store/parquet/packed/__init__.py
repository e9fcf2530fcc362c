"""Packed copies of Parquet files: their rows as they are computed with, mapped into memory."""
