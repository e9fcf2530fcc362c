"""Rates at which candidates and serving models encode queries and gallery rows on this machine."""

from __future__ import annotations

from collections.abc import Sequence

from skipfill.compat.advice.candidate import Candidate
from skipfill.compat.advice.table import Rates
from skipfill.compat.gate.context import CheckContext
from skipfill.compat.inference.load import LoadedModel, load_model
from skipfill.compat.inference.throughput import measured_rate
from skipfill.store.errors import BadInput
from skipfill.store.parquet.items import Items


def measured_rates(candidates: Sequence[Candidate], price_per_hour: float | None) -> Rates:
    """Rates of the candidates, of the old model and of the released one.

    A model that takes vectors is only the last step of an encoder that runs elsewhere: it has no rate here.
    """
    first = candidates[0]
    queries: dict[str, float] = {}
    rows: dict[str, float] = {}
    for candidate in candidates:
        _add(queries, candidate.context.model, candidate.queries.items)
        if candidate.reencodable.items is not None:
            _add(rows, candidate.context.model, candidate.reencodable.items)
    inputs, version = first.context.inputs, first.context.gallery.version
    old_items = first.queries.items.reading(inputs.old_input) if inputs.old_input else first.queries.items
    for name in {first.context.gallery.space.name, *([version.release.model] if version.release else [])}:
        model = _model(first.context, name)
        if model is not None:
            _add(queries, model, old_items)
    return Rates(queries, rows, price_per_hour)


def _add(rates: dict[str, float], model: LoadedModel, items: Items) -> None:
    takes = model.network.encoder.takes
    if takes != "vector" and takes == items.kind:
        rates[model.card.name] = measured_rate(model, items).per_second


def _model(context: CheckContext, name: str) -> LoadedModel | None:
    try:
        return load_model(context.objects, name)
    except BadInput:
        return None
