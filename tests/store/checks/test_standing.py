"""Thousands of checks together allow what they allow one by one, read from the index or from the reports."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from skipfill.store.checks.entry import CheckEntry, EntryColumns, Terms, entry_of
from skipfill.store.checks.index import CheckIndex, add_entry, span
from skipfill.store.checks.policy import Policy
from skipfill.store.checks.queries import Queries, QuerySets
from skipfill.store.checks.saved_reports import load_report
from skipfill.store.checks.standing import Standing, differences, standing, standing_of_old
from skipfill.store.strict_json import json_digest
from tests.store.stores import saved_check, store_with

EVERYTHING = [json_digest(number)[:16] for number in range(120)]
SETS = [
    Queries.of(EVERYTHING[first:last], basis)
    for first, last in ((0, 3), (0, 50), (0, 120), (30, 120), (100, 101))
    for basis in ("", "classes")
] + [Queries()]
TERMS = [
    Terms(policy, truth, judged)
    for policy in (Policy(), Policy(margin=0.5), Policy(flip_budget=0.1, margin=0.01))
    for truth in ("labels", "reindex")
    for judged in ((), ("lang = 'en'",))
]
NOW = "the state that is now"
POLICIES = [
    replace(Policy(), queries=queries, **changed)
    for changed in ({}, {"margin": 0.5}, {"truth": "reindex"}, {"flip_budget": 0.2}, {"slices": ("lang = 'en'",)})
    for queries in ((), (SETS[0].digest,), (SETS[2].digest, SETS[9].digest))
]


@st.composite
def checks(draw: st.DrawFn) -> list[CheckEntry]:
    """Checks of one model on the same rows, of which some replace others."""
    entries: list[CheckEntry] = []
    for number in range(draw(st.integers(0, 12))):
        earlier = [entry.check for entry in entries if entry.verdict != "pass"]
        instead_of = draw(st.lists(st.sampled_from(earlier), max_size=2)) if earlier else []
        entries.append(
            CheckEntry(
                check=f"{number:016x}",
                version=1,
                state=draw(st.sampled_from([NOW, "another model was released"])),
                verdict=draw(st.sampled_from(["pass", "fail", "inconclusive"])),
                terms=draw(st.sampled_from(TERMS)),
                queries=draw(st.sampled_from(SETS)),
                instead_of=tuple(instead_of),
                reason="because" if instead_of else "",
                created="2026-01-01",
            )
        )
    return entries


def holds(whole: Queries, part: Queries) -> bool:
    """The definition of `QuerySets.holds`, of one set."""
    if not (whole.digest and part.digest and whole.least) or whole.basis != part.basis or whole.count < part.count:
        return False
    least = whole.least.split()
    known = {digest for digest in part.least.split() if digest <= least[-1] or whole.count == len(least)}
    return known <= set(least)


def test_a_few_queries_do_not_hold_others_that_come_after_them() -> None:
    few, others = Queries.of(EVERYTHING[:3]), Queries.of(["f" * 16, "fe" * 8])
    assert not QuerySets([few]).holds(others)
    assert QuerySets([few]).holds(Queries.of(EVERYTHING[1:3]))


def one_by_one(entries: list[CheckEntry], policy: Policy) -> Standing:
    """The rules of decision 21, each check compared with each later one."""

    def enough(entry: CheckEntry) -> bool:
        return entry.verdict == "pass" and not differences(policy, entry.terms)

    def cancels(later: CheckEntry, earlier: CheckEntry) -> bool:
        if earlier.check in later.instead_of:
            return True
        if later.queries.digest and later.queries.digest in (*policy.queries, earlier.queries.digest):
            return True
        return earlier.verdict == "inconclusive" and holds(later.queries, earlier.queries)

    def counts(entry: CheckEntry) -> bool:
        other_truth = any(one.parameter == "truth" for one in differences(policy, entry.terms))
        return entry.verdict == "fail" or (entry.verdict == "inconclusive" and not other_truth)

    against = tuple(
        entry
        for place, entry in enumerate(entries)
        if counts(entry) and not any(enough(later) and cancels(later, entry) for later in entries[place + 1 :])
    )
    on_state = [entry for entry in entries if entry.state == NOW]
    allowing = [entry for entry in on_state if enough(entry)]
    if allowing:
        return Standing(None if against else allowing[-1], against)
    lax = next((entry for entry in reversed(on_state) if entry.verdict == "pass"), None)
    return Standing(None, against, lax, tuple(differences(policy, lax.terms)) if lax else ())


@given(checks(), st.sampled_from(POLICIES))
@settings(max_examples=500, deadline=None)
def test_the_decision_is_that_of_each_check_compared_with_each_later_one(
    entries: list[CheckEntry], policy: Policy
) -> None:
    assert standing(entries, policy, NOW) == one_by_one(entries, policy)


@given(checks())
@settings(deadline=None)
def test_columns_have_every_entry_as_it_was(entries: list[CheckEntry]) -> None:
    assert EntryColumns.of(entries).entries() == entries


def test_the_index_has_every_check_whatever_its_number(tmp_path: Path) -> None:
    """1,034 checks: so every span is crossed."""
    objects = store_with(tmp_path, 100)
    report = load_report(objects, "g", saved_check(objects).id)
    entries = [entry_of(report)]
    index = CheckIndex(objects, "g")
    for number in range(2, 1_035):
        changed: dict[str, Any] = {"verdict": ("pass", "fail", "inconclusive")[number % 3], "policy": {"margin": 0.5}}
        made = replace(
            report,
            id=f"{number:016x}",
            queries=Queries.of([f"{number % 7}"], "classes" if number % 2 else ""),
            **(changed if number % 5 else {}),
        )
        add_entry(objects, made)
        entries.append(entry_of(made))
        if span(number) > 10 or number % 97 == 0:
            assert index.of(report.rows_state, report.fingerprint) == entries
            assert CheckIndex(objects, "g").of(report.rows_state, report.fingerprint) == entries
    assert CheckIndex(objects, "g").of(report.rows_state, report.fingerprint) == entries


@pytest.mark.parametrize("order", [1, -1])
def test_of_old_checks_of_one_moment_the_one_that_did_not_pass_decides(order: int) -> None:
    passed = CheckEntry("a" * 12, 1, NOW, "pass", TERMS[0], Queries(), (), "", "2026-01-01")
    failed = replace(passed, check="b" * 12, verdict="fail")
    assert standing_of_old([passed, failed][::order], None) == Standing(None, (failed,), old=True)
    later = replace(passed, created="2026-01-02")
    assert standing_of_old([later, failed][::order], None) == Standing(later, old=True)
