"""The basis of the verdict: data, models, policy, time."""

from __future__ import annotations

import json
from importlib.metadata import version
from typing import TYPE_CHECKING, Any

from skipfill.cli.reports.elements import code, text
from skipfill.cli.reports.findings import check_name, way_of
from skipfill.store.checks.names import NEW_NEW

if TYPE_CHECKING:
    from skipfill.store.checks.report import Report


def measured(report: Report) -> str:
    facts = {
        "Gallery": f"{report.gallery}, version {report.version}, {report.gallery_rows:,} rows, state {report.state}",
        "Model": f"{way_of(report)}, fingerprint {report.fingerprint}",
        "Relevant rows by": report.truth,
        "Old queries": report.baseline,
        "Encoded again": f"{report.reencoded_rows:,} rows",
        "Ceiling": report.ceiling or NEW_NEW,
        "Measured": f"{report.created[:19].replace('T', ' ')} UTC, in {report.seconds:,.1f} s",
        "Check": f"{check_name(report)}, format {report.format}; this page by skipfill {version('skipfill')}",
    }
    listed = "".join(f"<div><dt>{key}</dt><dd>{text(value)}</dd></div>" for key, value in facts.items())
    policy = "".join(
        f"<div><dt>{text(key)}</dt><dd>{code(_value(one))}</dd></div>" for key, one in report.policy.items()
    )
    return f"<dl>{listed}</dl><h3>Policy</h3><dl>{policy}</dl>"


def _value(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value)
