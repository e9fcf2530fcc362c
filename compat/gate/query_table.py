"""Results of a check by query, as a table that is kept beside the report."""

from __future__ import annotations

import pyarrow as pa

from skipfill.compat.gate.evidence import Evidence
from skipfill.compat.gate.queries import QuerySet
from skipfill.compat.gate.slices import Grouping


def per_query_table(queries: QuerySet, grouping: Grouping, evidence: Evidence) -> pa.Table:
    """A row for each query: its id, label, slices and cluster, then a column for each pair and metric.

    Columns of the rows that were encoded again begin with `sample`.
    """
    columns = {"id": queries.items.ids}
    if queries.items.labels is not None:
        columns["label"] = queries.items.labels
    columns |= {"slice": pa.array(grouping.kind), "unit": pa.array(grouping.clusters)}
    columns |= {f"slice {name}": pa.array(chosen) for name, chosen in grouping.further.items()}
    for prefix, cells in (("", evidence.stored), ("sample ", evidence.reencoded)):
        for pair, metrics in cells.items():
            columns |= {f"{prefix}{pair} {metric}": pa.array(values) for metric, values in metrics.items()}
    return pa.table(columns)
