"""Rows of the advice's table by kind, cheapest first.

To add one, write its file here and its line below. Its `COST` ranks it among alternatives that are equally good.
"""

from __future__ import annotations

from skipfill.compat.advice.rows.blend import blend_row
from skipfill.compat.advice.rows.reindex import reindex_row
from skipfill.compat.advice.rows.rerank import RERANKING
from skipfill.compat.advice.rows.row import MakeRow
from skipfill.compat.advice.rows.view import view_row

ROWS: dict[str, MakeRow] = {"view": view_row, "blend": blend_row, **RERANKING, "reindex": reindex_row}
