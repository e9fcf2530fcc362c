"""A plan: a swap as a value, with its changes, its preconditions and the cost that it avoids."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field, replace
from typing import Any, Literal

from skipfill.store.checks.report import Threshold
from skipfill.store.checks.reranking import ModelInWay, Reranking, way_fingerprint, without_unused
from skipfill.store.errors import Advice, BadInput
from skipfill.store.releases.backfill_cost import BackfillCost
from skipfill.store.spaces import View
from skipfill.store.storage.layout import valid_name
from skipfill.store.strict_json import fitted, json_digest, parsed, refuse_newer

FORMAT = 4
"""The newest format. Each plan has the oldest format that it needs, so that older releases can apply it.

4: it names a rollback of the model. 3: it re-ranks. 2: its view is not a prefix. 1: all others.
"""
RERANKING = 3
WITH_MAP = 2
PREFIXES_ONLY = 1
Named = Literal["gallery version", "gallery files", "model", "view", "check", "overlay", "rollback"]


@dataclass(frozen=True)
class Precondition:
    """A property of the store that must be as planned.

    Attributes:
        name: the property.
        expected, found: its value in the plan and in the store, in words.
        holds: whether it was as expected when it was looked at.
    """

    name: Named
    expected: str
    found: str
    holds: bool


@dataclass(frozen=True)
class Change:
    """The effect of a swap on queries.

    Attributes:
        before, after: the model or other encoder that queries use, and its way of answering them; in old plans, an
            encoder outside the store is a dash.
        thresholds: thresholds on scores, as the check transferred them.
    """

    before: str
    after: str
    thresholds: list[Threshold]


@dataclass(frozen=True)
class Plan:
    """A swap of gallery `gallery` to model `model`.

    Attributes:
        version: number of the gallery's version that the swap follows; `state` and `files` are that version's.
        fingerprint: of the model.
        view: from the model's space onto the gallery's.
        check: id of the check of this model that allows the swap, or for which it is refused; empty for none.
        verdict: verdict of that check; empty for none.
        without_check: the reason for swapping without a passing check; empty where one is required.
        rerank: how the model will re-rank; None where its view alone ranks.
        requires: the preconditions, tested when the plan is made and again when it is applied.
        id: digest of everything else.
    """

    gallery: str
    version: int
    state: str
    files: str
    model: str
    fingerprint: str
    view: View
    check: str
    verdict: str
    without_check: str
    changes: Change
    requires: list[Precondition]
    avoids: BackfillCost
    created: str
    id: str = ""
    format: int = field(default=PREFIXES_ONLY)
    rerank: Reranking | None = None

    @property
    def applicable(self) -> bool:
        """Whether all preconditions held when the plan was made."""
        return all(precondition.holds for precondition in self.requires)

    @property
    def lacks_reason_only(self) -> bool:
        """Whether a reason, given when the plan is applied, is all that was missing when it was made."""
        return [one.name for one in self.requires if not one.holds] == ["rollback"]

    @property
    def way(self) -> str:
        """Fingerprint of how queries will be answered."""
        return way_fingerprint(self.fingerprint, self.rerank)

    @property
    def model_in_way(self) -> ModelInWay:
        """The model and its way of answering queries, as a command names them."""
        return ModelInWay(self.model, {} if self.rerank is None else self.rerank.parameters)

    def as_document(self) -> dict[str, Any]:
        """The plan as JSON values, with the fields of its format."""
        return without_unused(asdict(self), "rerank")

    @property
    def digest(self) -> str:
        """Digest of everything but the id."""
        content = {key: value for key, value in self.as_document().items() if key != "id"}
        return json_digest(content)[:16]

    def identified(self) -> Plan:
        """The same plan in the format that it needs, with its digest as its id."""
        plan = replace(self, format=self._needed_format)
        return replace(plan, id=plan.digest)

    @property
    def _needed_format(self) -> int:
        if any(one.name == "rollback" for one in self.requires):
            return FORMAT
        if self.rerank is not None:
            return RERANKING
        return PREFIXES_ONLY if self.view.kind == "prefix" else WITH_MAP

    def as_json(self) -> str:
        return json.dumps(self.as_document(), indent=1)


def read_plan(data: bytes, where: object) -> Plan:
    """Read a plan as it was saved.

    Args:
        where: the file's name, for messages.

    Raises:
        BadInput: it is not a plan, has a newer format, or was edited.
    """
    raw = parsed(data, where)
    refuse_newer(raw, where, "plan", FORMAT)
    plan = fitted(Plan, raw, where, {})
    if plan.digest != plan.id or plan.version < 1:
        raise BadInput(
            where,
            expected="a plan as it was saved",
            found="one that was edited",
            hint=Advice("new_plan"),
        )
    for kind, name in (("gallery", plan.gallery), ("model", plan.model)):
        valid_name(kind, name)
    if plan.check:
        valid_name("check", plan.check)
    return plan
