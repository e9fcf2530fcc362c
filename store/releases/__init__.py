"""Changes of what queries use: plans, their preconditions, swap and rollback."""
