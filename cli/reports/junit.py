"""A report as JUnit XML: a suite for each slice, a test case for each requirement.

Valid for both schemas in use: Ant's (a fixed order, attributes required) and version 10 of Jenkins' xunit plugin.
An undecided requirement is a failure of its own type, because some CI systems show skipped tests as passed. A check
that could not be made is an error.
"""

from __future__ import annotations

import json
from datetime import UTC, datetime
from itertools import groupby
from typing import TYPE_CHECKING
from xml.etree.ElementTree import Element, SubElement, indent, tostring

from skipfill.cli.reports.findings import Finding, check_name, findings, notes
from skipfill.cli.reports.outlook import NO_OUTLOOK, Outlook
from skipfill.cli.terminal.characters import one_line, visible

if TYPE_CHECKING:
    from skipfill.store.checks.report import Report


def junit(report: Report, outlook: Outlook = NO_OUTLOOK) -> str:
    """The document, with its XML declaration."""
    root = Element("testsuites")
    for number, (name, found) in enumerate(groupby(findings(report), key=lambda each: each.slice)):
        _suite(root, report, number, name, list(found), [*outlook.notes, *notes(report)])
    return _document(root)


def failure_junit(error: str) -> str:
    """The document for a check that could not be made: one test case with an error."""
    root, now = Element("testsuites"), f"{datetime.now(UTC):%Y-%m-%dT%H:%M:%S}"
    about = {"name": "check", "package": "skipfill", "id": "0", "timestamp": now, "hostname": "localhost"}
    counts = {"tests": "1", "failures": "0", "errors": "1", "skipped": "0", "time": "0.000"}
    suite = SubElement(root, "testsuite", about | counts)
    SubElement(suite, "properties")
    case = SubElement(suite, "testcase", name="check: was made", classname="skipfill", time="0.000")
    SubElement(case, "error", type="error", message=one_line(error)).text = one_line(error)
    SubElement(suite, "system-out")
    SubElement(suite, "system-err")
    return _document(root)


def _document(root: Element) -> str:
    indent(root, " ")
    return f'<?xml version="1.0" encoding="UTF-8"?>\n{tostring(root, encoding="unicode")}\n'


def _suite(root: Element, report: Report, number: int, name: str, found: list[Finding], said: list[str]) -> None:
    suite = SubElement(
        root,
        "testsuite",
        name=one_line(name),
        package=f"skipfill.{report.gallery}",
        id=str(number),
        timestamp=report.created[:19],
        hostname="localhost",
        tests=str(len(found)),
        failures=str(sum(each.outcome in ("fail", "inconclusive") for each in found)),
        errors="0",
        skipped=str(sum(each.outcome == "accepted" for each in found)),
        # All slices are measured at once: the first has the time, so that the sum is right.
        time=f"{report.seconds if number == 0 else 0:.3f}",
    )
    properties = SubElement(suite, "properties")
    for key, value in _properties(report).items():
        SubElement(properties, "property", name=key, value=visible(value))
    for each in found:
        _case(suite, report, each)
    SubElement(suite, "system-out").text = "\n".join(map(visible, said if number == 0 else []))
    SubElement(suite, "system-err")


def _case(suite: Element, report: Report, found: Finding) -> None:
    name = one_line(f"{found.slice}: {found.claim}")
    case = SubElement(suite, "testcase", name=name, classname=f"skipfill.{report.gallery}", time="0.000")
    if found.outcome in ("fail", "inconclusive"):
        text = one_line(f"{found.outcome}: {found.text}")
        SubElement(case, "failure", type=found.outcome, message=text).text = text
    elif found.outcome == "accepted":
        SubElement(case, "skipped", message=one_line(found.text))


def _properties(report: Report) -> dict[str, str]:
    """The facts of the measurement: the same in every suite."""
    return {
        "check": check_name(report),
        "verdict of the check": report.verdict,
        "gallery": report.gallery,
        "version": str(report.version),
        "model": report.model,
        "fingerprint": report.fingerprint,
        "gallery_rows": str(report.gallery_rows),
        "truth": report.truth,
        "baseline": report.baseline,
        "policy": json.dumps(report.policy),
    }
