"""Shadow traffic: a candidate answers the queries of users too, unseen by them, and both answers are noted."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from queue import Empty, SimpleQueue
from threading import Lock, RLock, Thread
from time import perf_counter
from uuid import uuid4

import pyarrow as pa
import pyarrow.parquet as pq

from skipfill.compat.inference.load import LoadedModel
from skipfill.compat.inference.views import view_of_block
from skipfill.compat.inference.witness import verified_model
from skipfill.compat.serving.answers import Find, Found, exact_find, queries_block, rows_found
from skipfill.compat.serving.noted import Noted
from skipfill.store.errors import reason
from skipfill.store.galleries.gallery import open_gallery
from skipfill.store.storage.object_store import ObjectStore
from skipfill.store.storage.output_file import new_file

ROWS_OF_FILE = 1_000
MOST_WAITING = 1_000
"""Most queries that wait for the candidate. Beyond it, further ones are answered, but not noted."""
SECONDS = 60.0
"""After this long without a query, the rows so far are written, however few they are."""
Jobs = SimpleQueue[Noted | None]


class Shadow:
    """Notes what one candidate answers to queries that were answered already. Threads may share it.

    The candidate runs on a thread of its own, so that no user waits for it; the first query loads it there.

    Attributes:
        failed: why queries are not noted; empty where all are.
        lost: number of queries that were answered and are not noted.
    """

    def __init__(self, objects: ObjectStore, space: str, candidate: str, folder: Path) -> None:
        """Begin with nothing noted.

        Args:
            space: of the gallery.
            candidate: name of a model.
            folder: where the Parquet files are written.
        """
        self.failed, self.lost = "", 0
        self._objects, self._space, self._name, self._folder = objects, space, candidate, folder
        self._model: LoadedModel | Exception | None = None
        self._changing = RLock()
        self._waiting = 0
        self._worker: tuple[Thread, Jobs] | None = None

    def note(self, noted: Noted) -> None:
        """Take the queries of one call; the candidate answers them later."""
        with self._changing:
            if self._waiting and self._waiting + len(noted) > MOST_WAITING:
                self._lose(len(noted), f"more than {MOST_WAITING:,} queries wait for {self._name}")
                return
            self._waiting += len(noted)
            if self._worker is None:
                jobs: Jobs = SimpleQueue()
                thread = Thread(target=self._work, args=(jobs,), name=f"skipfill shadow {self._name}", daemon=True)
                self._worker = thread, jobs
                thread.start()
            self._worker[1].put(noted)

    def close(self) -> None:
        """Let the candidate answer what waits, and write all rows."""
        with self._changing:
            worker, self._worker = self._worker, None
        if worker is not None:
            thread, jobs = worker
            jobs.put(None)
            thread.join()

    def _work(self, jobs: Jobs) -> None:
        rows: list[pa.Table] = []
        while True:
            try:
                noted = jobs.get(timeout=SECONDS)
            except Empty:
                self._write(rows)
                continue
            if noted is None:
                self._write(rows)
                return
            try:
                rows.append(self._compared(noted))
            except Exception as error:  # such as ids that no column can hold
                self._lose(len(noted), f"a query cannot be noted: {reason(error)}")
            with self._changing:
                self._waiting -= len(noted)
            if sum(map(len, rows)) >= ROWS_OF_FILE:
                self._write(rows)

    def _compared(self, noted: Noted) -> pa.Table:
        """The rows of some queries."""
        start = perf_counter()
        found: Found | None = None
        failure = ""
        try:
            model = self._loaded()
            block = queries_block(noted.queries, model, noted.old_vectors)
            ids, scores = rows_found(noted.find, view_of_block(model, block, self._space), noted.k)
            found = [one[: noted.k] for one in ids], [one[: noted.k] for one in scores]
        except Exception as error:  # whatever the candidate does, it is noted and not raised
            failure = f"{type(error).__name__}: {reason(error)}"
        return noted.rows(self._name, found, (perf_counter() - start) * 1000 / len(noted), failure)

    def _loaded(self) -> LoadedModel:
        if self._model is None:
            try:
                self._model = verified_model(self._objects, self._name, [])
            except Exception as error:
                self._model = error
        if isinstance(self._model, Exception):
            raise self._model
        return self._model

    def _write(self, rows: list[pa.Table]) -> None:
        """Write the rows as a new file, which appears whole, and forget them."""
        if not rows:
            return
        for table in _joined(rows):
            try:
                self._folder.mkdir(parents=True, exist_ok=True)
                name = f"{datetime.now(UTC):%Y%m%dT%H%M%S}-{uuid4().hex[:12]}.parquet"
                with new_file(self._folder / name) as file:
                    pq.write_table(table, file, compression="zstd")
            except Exception as error:  # a full disk must not end the thread
                self._lose(len(table), f"{self._folder}: {reason(error)}")
        rows.clear()

    def _lose(self, count: int, why: str) -> None:
        with self._changing:
            self.failed, self.lost = why, self.lost + count


def _joined(tables: list[pa.Table]) -> list[pa.Table]:
    """One table; the same tables if their columns differ, as where an index gave ids of another type in one call."""
    try:
        return [pa.concat_tables(tables, promote_options="permissive")]
    except pa.ArrowException:
        return tables


@dataclass
class Shadows:
    """The shadows of a service by candidate and folder, and the index that they search by default."""

    objects: ObjectStore
    gallery: str
    space: str
    _shadows: dict[tuple[str, Path], Shadow] = field(default_factory=dict)
    _find: Find | None = None
    _changing: Lock = field(default_factory=Lock)

    def of(self, candidate: str, folder: Path) -> Shadow:
        """The shadow of a candidate, made at the first call."""
        with self._changing:
            return self._shadows.setdefault((candidate, folder), Shadow(self.objects, self.space, candidate, folder))

    @property
    def find(self) -> Find:
        """Exact search of the gallery, opened at the first call."""
        with self._changing:
            if self._find is None:
                self._find = exact_find(open_gallery(self.objects, self.gallery))
            return self._find

    @property
    def failures(self) -> list[str]:
        """The queries that are not noted, and the reason: a sentence for each shadow that lost some."""
        return [
            f"{candidate}, {folder}: {shadow.lost:,} queries are not noted: {shadow.failed}"
            for (candidate, folder), shadow in list(self._shadows.items())
            if shadow.lost
        ]

    def close(self) -> None:
        """Write everything that was noted."""
        for shadow in list(self._shadows.values()):
            shadow.close()
