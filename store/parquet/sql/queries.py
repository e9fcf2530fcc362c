"""SQL over the queries: their own columns, those of the gallery rows with the same ids, and computed ones."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import duckdb
import pyarrow as pa
import pyarrow.dataset as ds

from skipfill.store.errors import BadInput
from skipfill.store.parquet.files import ParquetReader
from skipfill.store.parquet.inputs import input_kind
from skipfill.store.parquet.items import BLOCK_ROWS, Items
from skipfill.store.parquet.sql.memory_limit import memory_beside
from skipfill.store.parquet.stored_rows import StoredRows
from skipfill.store.storage.unfinished import scratch_folder

TABLES = ("query", "gallery", "asked")
MOST_NAMED = 40
"""Most columns that an error names."""
MOST_MEMORY = 2 << 30
"""Bytes that all expressions may take. Of these DuckDB counts 1 GB itself; it does not count long texts."""


@dataclass(frozen=True)
class QueryColumns:
    """Evaluates expressions for Q queries.

    A bare name stands for the column of the one table that has it. Where both have ids or labels of this name, it
    stands for those of the queries: rows of the same ids have the same.

    Attributes:
        queries: `query.COLUMN`, or the bare name.
        rows: `gallery.COLUMN`, or the bare name; NULL for queries whose id the gallery does not have.
        computed: (Q,) further columns by name.
        label_column: of the queries.
    """

    queries: Items
    rows: StoredRows
    computed: dict[str, pa.Array]
    label_column: str = "label"

    def texts(self, expression: str) -> pa.Array:
        """(Q,) strings with NULLs: see `values`."""
        return self.values([], [expression])[1][0]

    def holds(self, predicate: str) -> pa.Array:
        """(Q,) bool: see `values`."""
        return self.values([predicate], [])[0][0]

    def values(self, predicates: Sequence[str], expressions: Sequence[str]) -> tuple[list[pa.Array], list[pa.Array]]:
        """Evaluate everything in one pass over the queries, and one over the gallery if something names a column of it.

        Returns:
            (Q,) bool of each predicate, whether it is true (NULL is not), and (Q,) strings with NULLs of each
            expression.

        Raises:
            BadInput: not SQL over these columns, a bare name that queries and gallery both have, a value that differs
                each time, or a column of the queries with the name of a table.
        """
        wanted = [f"(({one}\n) IS TRUE)" for one in predicates] + [f"CAST(({one}\n) AS VARCHAR)" for one in expressions]
        of_form = dict(zip(wanted, (*predicates, *expressions), strict=True))
        values: dict[str, pa.Array] = {}
        if not wanted:
            return [], []
        with closed_database() as sql:
            self._register(sql)
            alone, beside, joined = self._alone, self._beside_others(sql), self._joined
            of_queries = [form for form in of_form if self._error(sql, form, alone) is None]
            rest = [form for form in of_form if form not in of_queries]
            # A column name of the queries may also be one of the gallery's.
            for form, tables in [*((form, beside) for form in of_queries), *((form, joined) for form in rest)]:
                if error := self._error(sql, form, tables):
                    raise self._refused(of_form[form], error)
            for forms, tables in ((of_queries, alone), (rest, joined)):
                values |= self._evaluated(sql, {form: of_form[form] for form in forms}, tables)
        ordered = [values[form] for form in wanted]
        return ordered[: len(predicates)], ordered[len(predicates) :]

    def _evaluated(self, sql: duckdb.DuckDBPyConnection, of_form: dict[str, str], tables: str) -> dict[str, pa.Array]:
        """The values of SQL forms; `of_form` has the expression of each, for errors."""
        forms = list(of_form)
        if not forms:
            return {}
        try:
            # Each twice: what is drawn at random differs.
            table: pa.Table = self._selected(sql, forms * 2, tables).to_arrow_table()
        except duckdb.Error as error:
            errors = ((form, self._error(sql, form, tables, run=True)) for form in forms)
            form, found = next(((form, one) for form, one in errors if one), (forms[0], error))
            raise self._refused(of_form[form], found) from error
        if len(table) != len(self.queries):
            raise BadInput("query and gallery", expected="unique ids of one type", found="other ids than opened")
        columns = [column.combine_chunks() for column in table.columns]
        for form, first, second in zip(forms, columns, columns[len(forms) :], strict=False):
            if not first.equals(second):
                where, expected = f"slice {of_form[form]!r}", "the same value for a query each time"
                raise BadInput(where, expected=expected, found="a value that changes, such as that of random()")
        return dict(zip(forms, columns, strict=False))

    def _error(
        self, sql: duckdb.DuckDBPyConnection, form: str, tables: str, *, run: bool = False
    ) -> duckdb.Error | None:
        """The error of one form, by names and types alone unless it is run."""
        try:
            selected = self._selected(sql, [form], tables)
            if len(selected.columns) != 1:
                return duckdb.ParserException("several values")
            if run:
                selected.fetchall()
        except duckdb.Error as error:
            return error
        return None

    @property
    def _alone(self) -> str:
        """The queries."""
        return f'asked JOIN query ON query."{_quoted(self.queries.id_column)}" = asked._id'

    @property
    def _joined(self) -> str:
        """The queries, each with the row of its id."""
        return f'{self._alone} LEFT JOIN gallery ON gallery."{_quoted(self.rows.columns.id)}" = asked._id'

    def _beside_others(self, sql: duckdb.DuckDBPyConnection) -> str:
        """The queries beside the gallery's columns, without those whose bare name is a column of the queries.

        Those are names of ids or labels that both have, and names of computed columns.
        """
        of_rows, known = self.rows.columns, list(self.computed)
        known += [of_rows.id] if of_rows.id == self.queries.id_column else []
        known += [of_rows.label] if of_rows.label == self.label_column else []
        others = [f'"{_quoted(name)}"' for name in sql.table("gallery").columns if name not in known]
        return f"{self._alone} CROSS JOIN (SELECT {', '.join(others) or '1'} FROM gallery) AS gallery"

    def _selected(self, sql: duckdb.DuckDBPyConnection, forms: Sequence[str], tables: str) -> duckdb.DuckDBPyRelation:
        values = ", ".join(f"{form} AS _v{number}" for number, form in enumerate(forms))
        select = f"SELECT {values} FROM {tables} ORDER BY asked._place"
        if len(sql.extract_statements(select)) != 1:
            raise duckdb.ParserException("several statements")
        return sql.sql(select)

    def _refused(self, expression: str, error: Exception) -> BadInput:
        if isinstance(error, duckdb.OutOfMemoryException):
            expected = f"SQL that needs at most {MOST_MEMORY >> 20:,} MiB of memory"
            return BadInput(f"slice {expression!r}", expected=expected, found="one that needs more")
        return BadInput(
            f"slice {expression!r}",
            expected=f"SQL over columns of the queries or the gallery, or over {' and '.join(self.computed)}",
            found=shown(error) + (f" {self._column_names}" if isinstance(error, duckdb.BinderException) else ""),
            hint="If queries and gallery share a column name, write query.COLUMN or gallery.COLUMN.",
        )

    @property
    def _column_names(self) -> str:
        """The columns that an expression may name."""
        of_gallery = listed(self.rows, self.rows.columns.vector)
        return f"Columns of the queries: {listed(self.queries)}. Columns of the gallery: {of_gallery}"

    def _register(self, sql: duckdb.DuckDBPyConnection) -> None:
        queries = dataset(map(self.queries.open_file, self.queries.files), ())
        if named := [name for name in queries.schema.names if name.casefold() in TABLES]:
            expected = f"no column called {', '.join(TABLES[:-1])} or {TABLES[-1]}: in SQL these are tables"
            raise BadInput(self.queries.where, expected=expected, found=f"column {named[0]}")
        places = pa.array(range(len(self.queries)), pa.int64())
        sql.register("asked", pa.table({"_id": self.queries.ids, "_place": places, **self.computed}))
        sql.register("query", queries)
        sql.register("gallery", dataset(map(self.rows.open_file, self.rows.files), (self.rows.columns.vector,)))


def shown(error: Exception) -> str:
    """The message of DuckDB on one line, without its candidates: these are a few columns, and our own among them."""
    return " ".join(str(error).split("\n\n")[0].split("\nCandidate bindings")[0].split())


def listed(files: Items | StoredRows, without: str = "") -> str:
    """Names of the columns of the first file, and how many more there are than can be shown."""
    names = [name for name in files.open_file(files.files[0]).schema_arrow.names if name != without]
    more = f" and {len(names) - MOST_NAMED} more" if len(names) > MOST_NAMED else ""
    return ", ".join(names[:MOST_NAMED]) + more


@contextmanager
def closed_database() -> Iterator[duckdb.DuckDBPyConnection]:
    """A database in memory for expressions that others may have written, such as those of a store's policy.

    They reach no file, network, extension or variable of this program, and change none of these settings.
    """
    with scratch_folder() as scratch:
        config: dict[str, str | bool | int | float | list[str]] = {
            "enable_external_access": "false",
            "python_enable_replacements": "false",
            "memory_limit": "1GB",
            "temp_directory": str(scratch),  # otherwise .tmp in the current folder
            "max_temp_directory_size": "16GB",
            "lock_configuration": "true",
        }
        with memory_beside(MOST_MEMORY), duckdb.connect(config=config) as sql:
            yield sql


def dataset(files: Iterable[ParquetReader], without: Sequence[str]) -> ds.Dataset:
    """A dataset of our own list of files: DuckDB's takes brackets in a path for a pattern.

    Rows in another form than Parquet are read into memory, without images.
    """
    opened = list(files)
    if any(file.metadata is None for file in opened):
        schema = opened[0].schema_arrow
        names = [field.name for field in schema if field.name not in without and input_kind(field.type) != "image"]
        batches = (batch for file in opened for batch in file.iter_batches(BLOCK_ROWS, names))
        return ds.dataset(pa.Table.from_batches(batches, pa.schema([schema.field(name) for name in names])))
    parquet = ds.ParquetFileFormat()
    fragments = [parquet.make_fragment(file.source) for file in opened]
    whole = ds.FileSystemDataset(fragments, fragments[0].physical_schema, parquet)
    kept = [field for field in whole.schema if field.name not in without]
    return whole.replace_schema(pa.schema(kept))


def _quoted(name: str) -> str:
    return name.replace('"', '""')
