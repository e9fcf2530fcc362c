"""Re-ranking: candidates that the old space names, put in order by a newer model."""
