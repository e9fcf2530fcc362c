"""Looking after a store: `doctor` and `prune`."""
