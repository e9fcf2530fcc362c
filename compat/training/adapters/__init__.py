"""Fits closed-form methods: joins pairs by id, leaves wrong ones out, and chooses a map by held-out retrieval."""
