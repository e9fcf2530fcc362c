"""Reports of older formats: what they did not say yet is read off what they said."""

from __future__ import annotations

import hashlib
import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from skipfill.store.checks.report import FORMAT, Report
from skipfill.store.checks.requirement import Claim
from skipfill.store.checks.saved_reports import load_report
from skipfill.store.errors import BadInput
from skipfill.store.storage.location import open_store

FROZEN = Path(__file__).parents[2] / "fixtures" / "store-0.1" / "store"
CLAIMS = [
    ("better than old/old in mAP", Claim("better", "old/old", "mAP", 0.0)),
    ("better than released/old in TAR@FAR=0.01", Claim("better", "released/old", "TAR@FAR=0.01", 0.0)),
    ("not worse than old/old by 0.02 in CMC@1", Claim("not-worse", "old/old", "CMC@1", -0.02)),
    ("not worse than old/old by 0 in CMC@1", Claim("not-worse", "old/old", "CMC@1", -0.0)),
    ("fewer than 5.00% of queries right before and wrong after", Claim("flip-budget", "", "CMC@1", -0.05)),
]


@pytest.fixture
def frozen(tmp_path: Path) -> Path:
    """The file of a report of format 3 in a copy of its store."""
    shutil.copytree(FROZEN, tmp_path / "store")
    return next((tmp_path / "store").glob("checks/things/*/report.json"))


def with_requirement(path: Path, **changed: object) -> Report:
    """The report with another first requirement, saved under its own digest and read again."""
    raw: dict[str, Any] = json.loads(path.read_text())
    raw["slices"][0]["requirements"][0].update(changed)
    raw["id"] = hashlib.sha256(json.dumps({**raw, "id": ""}).encode()).hexdigest()[:12]
    folder = path.parent.rename(path.parent.with_name(raw["id"]))
    (folder / path.name).write_text(json.dumps(raw))
    return load_report(open_store(path.parents[3]), "things", raw["id"])


def test_claims_have_parts(frozen: Path) -> None:
    report = load_report(open_store(frozen.parents[3]), "things", frozen.parent.name)
    assert report.format < FORMAT
    for one in report.slices:
        for each in one.requirements:
            assert str(Claim(each.kind, each.base, each.metric, each.bar)) == each.claim


@pytest.mark.parametrize(("sentence", "claim"), CLAIMS, ids=[sentence for sentence, _ in CLAIMS])
def test_the_parts_of_every_claim(frozen: Path, sentence: str, claim: Claim) -> None:
    """Both ways: releases before format 4 wrote these sentences, and so does this one."""
    requirement = with_requirement(frozen, claim=sentence, bar=claim.bar).slices[0].requirements[0]
    assert Claim(requirement.kind, requirement.base, requirement.metric, requirement.bar) == claim
    assert str(claim) == requirement.claim == sentence


def test_a_claim_of_no_release_is_refused(frozen: Path) -> None:
    with pytest.raises(BadInput, match="as good as new"):
        with_requirement(frozen, claim="as good as new")
