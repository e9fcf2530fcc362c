"""Exact search and exact ranks over stored rows, and what is relevant to a query."""
