"""The README.md of an export: a model card of the Hugging Face hub, with the figures of the newest check."""

from __future__ import annotations

import json
from typing import Any

from skipfill.compat.export.format import Format
from skipfill.compat.export.pipeline import QueryPipeline
from skipfill.compat.export.verify import TOLERANCE, Verified
from skipfill.store.checks.report import Cell, Report
from skipfill.store.models.cards import Card


def readme(name: str, format: Format, pipeline: QueryPipeline, verified: Verified, report: Report | None) -> str:
    """The page, with front matter in YAML.

    Args:
        name: of the format.
        report: the check whose figures it shows; None where no check has measured the model in this space.
    """
    card, space = pipeline.model.card, pipeline.space
    lines = ["---", *_yaml(front_matter(format, card, report)), "---", "", f"# {card.name}", ""]
    other = "" if space == card.name else ". Another model made the stored vectors"
    lines += [
        f"Encodes queries for galleries in the space `{space}`{other}. A query becomes an L2-normalised vector of "
        f"{pipeline.dim} numbers.",
        "",
        f"Exported by skipfill with the format `{name}`: {format.summary}.",
        "",
        f"- Model: `{card.name}`, method `{card.method}`, fingerprint `{card.fingerprint[:16]}`.",
        f"- Verified on {verified.items} witness items, alone and in batches of {verified.batches[-1]}: the largest "
        f"difference from skipfill's own vectors is {verified.largest_difference:.1e} (limit {TOLERANCE:.0e}).",
        "",
        "## Use",
        "",
        "```python",
        format.usage(pipeline).rstrip(),
        "```",
        "",
        "## Check",
        "",
        *_check(report),
    ]
    return "\n".join(lines) + "\n"


def front_matter(format: Format, card: Card, report: Report | None) -> dict[str, Any]:
    """The metadata of the model card as JSON values."""
    text = card.encoder.get("kind") == "hf" and (card.encoder.get("settings") or {}).get("takes") == "text"
    task = "sentence-similarity" if text else "feature-extraction"
    tags = ["skipfill", format.library, "feature-extraction", *(["sentence-similarity"] if text else [])]
    matter: dict[str, Any] = {"library_name": format.library, "pipeline_tag": task, "tags": list(dict.fromkeys(tags))}
    cells = [] if report is None else _cells(report)
    if report is None or not cells:
        return matter
    metrics = [
        {
            "type": cell.metric.lower(),
            "name": f"{cell.metric}, queries {cell.pair.replace('/', ', gallery ')}",
            "value": round(cell.value.mean, 4),
        }
        for cell in cells
    ]
    result = {
        "task": {"type": "retrieval", "name": "Retrieval"},
        "dataset": {"type": report.gallery, "name": f"gallery {report.gallery}, version {report.version}"},
        "metrics": metrics,
    }
    return matter | {"model-index": [{"name": card.name, "results": [result]}]}


def _cells(report: Report) -> list[Cell]:
    """The measurements of all queries together."""
    return next((one.cells for one in report.slices if one.name == "all"), [])


def _check(report: Report | None) -> list[str]:
    if report is None:
        return ["No check has measured this model on a gallery of this space."]
    name = f"Check `{report.id}` of {report.created[:10]} on gallery `{report.gallery}`, version {report.version}"
    rows = [
        f"| {cell.pair} | {cell.metric} | {cell.value.mean:.3f} | {cell.value.low:.3f} to {cell.value.high:.3f} |"
        for cell in _cells(report)
    ]
    return [
        f"{name}: **{report.verdict}**, {report.gallery_rows:,} rows.",
        "",
        "| queries/gallery | metric | mean | interval |",
        "|---|---|---|---|",
        *rows,
    ]


def _yaml(value: Any, indent: int = 0) -> list[str]:
    """Lines of YAML for a mapping of JSON values. Texts are quoted as JSON, which YAML reads."""
    lines = []
    for key, one in value.items():
        begin = " " * indent + f"{key}:"
        if isinstance(one, dict):
            lines += [begin, *_yaml(one, indent + 2)]
        elif isinstance(one, list):
            lines.append(begin)
            for entry in one:
                inner = (
                    _yaml(entry, indent + 2) if isinstance(entry, dict) else [" " * (indent + 2) + json.dumps(entry)]
                )
                lines += [" " * indent + "- " + inner[0].lstrip(), *inner[1:]]
        else:
            lines.append(f"{begin} {json.dumps(one, ensure_ascii=False)}")
    return lines
