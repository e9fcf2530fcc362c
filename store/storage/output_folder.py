"""A folder of the user's that appears whole, or not at all."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from uuid import uuid4

from skipfill.store.errors import Advice, BadInput, SkipfillError, reason
from skipfill.store.storage.unfinished import temporary
from skipfill.store.strict_json import parsed

LARGEST_RECORD = 1 << 24


@contextmanager
def new_folder(path: Path, record: str) -> Iterator[Path]:
    """Make a folder beside `path` that gets its name when the block ends, and goes when the block fails.

    A folder that is there is replaced only if it is empty, or if every file in it is as its file `record` lists it:
    then an earlier block wrote it, and nobody added or changed a file. A kill between the two renames of a replacement
    leaves the earlier folder as `.NAME.XXXX.old` beside it.

    Args:
        record: name of a JSON file that the block writes by `write_record`.

    Raises:
        BadInput: there is a file, or a folder with other files, or nothing can be written there.
    """
    refuse_other_contents(path, record)
    part, old = (path.with_name(f".{path.name}.{uuid4().hex[:8]}.{kind}") for kind in ("part", "old"))
    with temporary(part):
        try:
            part.mkdir(parents=True)
            yield part
            for file in sorted(one for one in part.rglob("*") if one.is_file()):
                file.chmod(part.stat().st_mode & 0o666)  # some libraries let nobody else read what they write
                _flush(file)
            refuse_other_contents(path, record)
            _replace(path, part, old)
            _flush(path.parent)
        except SkipfillError:
            raise
        except OSError as error:
            raise BadInput(
                path,
                expected="a folder that can be written",
                found=reason(error),
                hint=Advice("choose_output_folder"),
            ) from error


def _replace(path: Path, part: Path, old: Path) -> None:
    """Give `part` the name `path`; the folder of this name, if there is one, goes by way of `old`."""
    if not path.exists():
        part.rename(path)
        return
    path.rename(old)
    try:
        part.rename(path)
    except OSError:
        old.rename(path)
        raise
    shutil.rmtree(old, ignore_errors=True)


def write_record(folder: Path, record: str, content: dict[str, object]) -> None:
    """Write the file `record`: `content`, and under `files` the SHA-256 of every file of the folder."""
    files = {file.relative_to(folder).as_posix(): _sha256(file) for file in sorted(folder.rglob("*")) if file.is_file()}
    (folder / record).write_text(json.dumps({**content, "files": files}, indent=1) + "\n", encoding="utf-8")


def _sha256(file: Path) -> str:
    with file.open("rb") as opened:
        return hashlib.file_digest(opened, "sha256").hexdigest()


def refuse_other_contents(path: Path, record: str) -> None:
    """Raise `BadInput` unless `path` is free, an empty folder, or one whose files are all as `record` lists them."""
    hint = Advice("name_another_output")
    if not path.name:  # no other folder can take its place
        raise BadInput(path, expected="a folder with a name", found="the current folder or the root", hint=hint)
    if not path.exists() and not path.is_symlink():
        return
    if path.is_symlink() or not path.is_dir():
        raise BadInput(
            path, expected="a folder, or nothing", found="a link" if path.is_symlink() else "a file", hint=hint
        )
    there = {file.relative_to(path).as_posix() for file in path.rglob("*") if not file.is_dir() or file.is_symlink()}
    recorded = _recorded(path / record)
    other = sorted(
        name
        for name in there - {record}
        if name not in recorded or (path / name).is_symlink() or _sha256(path / name) != recorded[name]
    )
    if other:
        raise BadInput(
            path,
            expected=f"an empty folder, or an earlier export in which every file is still as {record} lists it",
            found=f"{other[0]}" + (f" and {len(other) - 1} more files" if len(other) > 1 else ""),
            hint=hint,
        )


def _recorded(record: Path) -> dict[str, Any]:
    """Name -> SHA-256 of the files in a record; none where it is none."""
    try:
        content = parsed(record.read_bytes(), record, LARGEST_RECORD)
    except (OSError, BadInput):
        return {}
    files = content.get("files") if isinstance(content, dict) else None
    return files if isinstance(files, dict) else {}


def _flush(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
