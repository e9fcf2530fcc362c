"""The guide: one Markdown page a topic, for `skipfill guide` and for readers of the repository."""
