"""The guide: one Markdown page per topic, for `skipfill guide` and for readers of the repository."""
