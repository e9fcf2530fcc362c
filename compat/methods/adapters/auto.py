"""The closed-form method that held-out retrieval chooses."""

from __future__ import annotations

from collections.abc import Mapping

from skipfill.compat.methods.adapters.adapter import Adapter, NoSettings


class Auto(Adapter):
    """Fits every closed-form method that has enough pairs, and keeps the one that held-out retrieval chooses.

    The simplest map wins within one standard error of the best, as in Breiman et al. 1984.
    """

    summary = "the closed-form method that held-out retrieval chooses"
    source = "one-standard-error rule: Breiman et al. 1984"
    settings_type = NoSettings

    @classmethod
    def tried(cls, adapters: Mapping[str, type[Adapter]]) -> dict[str, type[Adapter]]:
        return {name: adapter for name, adapter in adapters.items() if adapter is not cls}
