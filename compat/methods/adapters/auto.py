"""The closed-form method that held-out retrieval chooses."""

from __future__ import annotations

from collections.abc import Mapping

from skipfill.compat.methods.adapters.adapter import Adapter, NoSettings


class Auto(Adapter):
    """Fits every closed-form method that has enough pairs, and keeps the one that held-out retrieval chooses.

    With labels, the best map is the one by which queries most often find a stored row of their own label first. Without
    labels, it is the one that keeps most of the new encoder's neighbours. Of equal maps the simplest is taken.
    """

    summary = "the closed-form method that held-out retrieval chooses"
    source = "held-out retrieval, cross-validated where pairs are few"
    settings_type = NoSettings

    @classmethod
    def tried(cls, adapters: Mapping[str, type[Adapter]]) -> dict[str, type[Adapter]]:
        return {name: adapter for name, adapter in adapters.items() if adapter is not cls}
