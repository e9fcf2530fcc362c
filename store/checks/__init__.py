"""Check reports: their types, and how they are saved and found. The check itself is `compat/gate`."""
