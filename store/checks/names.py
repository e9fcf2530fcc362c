"""Names in check reports: pairs of query model and gallery space, and the slices of every check."""

from __future__ import annotations

OLD_OLD = "old/old"
"""Queries by the old model among the stored rows: the search before the swap."""
NEW_OLD = "new/old"
"""Queries by the new model, viewed in the old space, among the same rows: the search after the swap."""
RELEASED_OLD = "released/old"
"""Queries by the released model among the same rows, where it is neither the old nor the new model."""
NEW_NEW = "new/new"
"""Queries by the new model among rows that it encoded again: the search after a full reindex."""
CEILING = "ceiling"
"""The same by an independent model that had to be compatible with nothing."""

ALL, TRAINED_ON, OTHERS = "all", "trained-on", "others"
"""All queries, those of what the new model was trained on, and the rest."""
EVERY_CHECK = (ALL, TRAINED_ON, OTHERS)
"""The slices that every check has."""
