"""SQL over columns of galleries and queries, in a database that reaches nothing else."""
