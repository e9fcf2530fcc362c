"""Users' Parquet files, read where they lie: stored rows, items, ids, vectors, fingerprints."""
