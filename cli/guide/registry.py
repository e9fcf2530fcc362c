"""Every page of the guide by topic. To add one, write `TOPIC.md` here and add its line below."""

from __future__ import annotations

from importlib.resources import files

TOPICS: dict[str, str] = {
    "tutorial": "upgrade a gallery from the first command to the rollback; words and exit codes",
    "training": "classes that nobody labelled, validation, memory, several processes",
    "methods": "the training methods with their formulas, and which one to use",
    "adapters": "encoders that you cannot train: maps between two encoders, and blends with the old query",
    "reranking": "encode only the rows that queries touch: re-ranking and overlays",
    "gate": "how a check decides: queries, policy, confidence, reports, CI",
    "incident": "a bad release is live: who and why, rollback, what keeps it from coming back, disk space",
    "production": "new rows, rewritten files, services, object storage, recovery",
    "pipelines": "CI, cron, Airflow, DVC and Docker; the JSON documents and their schemas; shell completion",
    "exports": "use the released model without skipfill: ONNX, sentence-transformers, safetensors",
    "formats": "pipes; JSON lines, Arrow, and data sets of Hugging Face, BEIR and MTEB as items",
    "cluster": "encode, search and check on Ray and S3; what a billion rows cost",
    "encoders": "transformers models, and encoders of your own",
    "sequences": "many upgrades in a row, and the compatibility matrix",
    "benchmarks": "what every method gained on real upgrades",
    "security": "what skipfill trusts, and what it does not",
    "licences": "the licences of what skipfill installs",
    "extending": "add a method, a metric, an encoder, a command, a page",
}


ALSO: dict[str, str] = {"rollback": "incident"}
"""Other words for a topic."""


def page(topic: str) -> str:
    """The Markdown of a page.

    Raises:
        KeyError: no such topic.
    """
    if topic not in TOPICS:
        raise KeyError(topic)
    return (files("skipfill.cli.guide") / f"{topic}.md").read_text(encoding="utf-8")
