"""Programs that break stores and inputs on purpose, and tests that run each of them for a moment."""
