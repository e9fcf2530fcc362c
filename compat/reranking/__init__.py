"""Re-ranking: candidates that are found in the old space and re-ordered by a newer model."""
