"""The effect of an HNSW index on new queries: its recall, and the effort that they need."""
