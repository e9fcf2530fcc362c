"""SQL over the queries: their own columns, those of the gallery rows with the same ids, and computed ones."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import duckdb
import pyarrow as pa
import pyarrow.dataset as ds

from skipfill.store.errors import BadInput
from skipfill.store.parquet.items import Items
from skipfill.store.parquet.stored_rows import ParquetReader, StoredRows


@dataclass(frozen=True)
class QueryColumns:
    """Evaluates expressions for Q queries.

    Attributes:
        queries: `query.COLUMN`, or the bare name.
        rows: `gallery.COLUMN`, or the bare name; NULL for queries whose id the gallery does not have.
        computed: (Q,) further columns by name.
    """

    queries: Items
    rows: StoredRows
    computed: dict[str, pa.Array]

    def texts(self, expression: str) -> pa.Array:
        """(Q,) strings with NULLs: the value of an expression for each query.

        Raises:
            BadInput: no SQL expression over these columns.
        """
        return self._evaluated(expression, "CAST(({}) AS VARCHAR)", pa.string())

    def holds(self, predicate: str) -> pa.Array:
        """(Q,) bool: whether a predicate is true; NULL is not.

        Raises:
            BadInput: no SQL predicate over these columns.
        """
        return self._evaluated(predicate, "({}) IS TRUE", pa.bool_())

    def _evaluated(self, expression: str, form: str, kind: pa.DataType) -> pa.Array:
        """The gallery is read only for expressions that name a column of it."""
        queries = 'asked JOIN query ON query."{q}" = asked._id'
        sources = (queries, queries + ' LEFT JOIN gallery ON gallery."{g}" = asked._id')
        errors: list[Exception] = []
        for source in sources:
            tables = source.format(q=_quoted(self.queries.id_column), g=_quoted(self.rows.columns.id))
            select = f"SELECT {form.format(expression)} AS value FROM {tables} ORDER BY asked._place"
            try:
                with duckdb.connect(config={"enable_external_access": "false", "memory_limit": "1GB"}) as sql:
                    self._register(sql)
                    table: pa.Table = sql.sql(select).to_arrow_table()
            except duckdb.Error as error:
                errors.append(error)
                continue
            values = table.column("value").combine_chunks()
            if len(values) != len(self.queries):
                raise BadInput("query and gallery", expected="unique ids of one type", found="other ids than opened")
            return values.cast(kind)
        raise BadInput(
            f"slice {expression!r}",
            expected=f"SQL over columns of the queries, of the gallery, or of {', '.join(self.computed)}",
            found=" ".join(str(errors[-1]).split("\n\n")[0].split()),
            hint="A column that both have is written query.COLUMN or gallery.COLUMN.",
        )

    def _register(self, sql: duckdb.DuckDBPyConnection) -> None:
        places = pa.array(range(len(self.queries)), pa.int64())
        sql.register("asked", pa.table({"_id": self.queries.ids, "_place": places, **self.computed}))
        sql.register("query", _dataset(map(self.queries.open_file, self.queries.files), ()))
        sql.register("gallery", _dataset(map(self.rows.open_file, self.rows.files), (self.rows.columns.vector,)))


def _dataset(files: Iterable[ParquetReader], without: Sequence[str]) -> ds.Dataset:
    """Our own list of files, not DuckDB's: that one takes brackets in a path for a pattern."""
    parquet = ds.ParquetFileFormat()
    fragments = [parquet.make_fragment(file.source) for file in files]
    dataset = ds.FileSystemDataset(fragments, fragments[0].physical_schema, parquet)
    kept = [field for field in dataset.schema if field.name not in without]
    return dataset.replace_schema(pa.schema(kept))


def _quoted(name: str) -> str:
    return name.replace('"', '""')
