"""Writes the JSON Schemas of all documents and files, `cli/documents/schemas/`, by what the code says now.

    python -m tests.programs.schemas

Run it after a document has changed, and look at the difference: programs of users read these documents.
"""

from __future__ import annotations

import json
from typing import Any

from typer.main import get_command

from skipfill.cli.app import app
from skipfill.cli.configuration import FILE
from skipfill.cli.documents.configuration import configuration_schema
from skipfill.cli.documents.registry import document_schemas
from tests.sources import ROOT

FOLDER = ROOT / "cli" / "documents" / "schemas"


def schemas() -> dict[str, dict[str, Any]]:
    """Every schema by name, by what the code says now."""
    return {**document_schemas(), FILE: configuration_schema(get_command(app))}


def main() -> None:
    FOLDER.mkdir(exist_ok=True)
    for path in FOLDER.glob("*.json"):
        path.unlink()
    for name, schema in schemas().items():
        (FOLDER / f"{name}.json").write_text(json.dumps(schema, indent=1) + "\n")


if __name__ == "__main__":
    main()
