"""Fits closed-form methods: pairs joined by id, wrong ones left out, the map chosen by held-out retrieval."""
