"""Swap: one new version in the gallery's log. No rows are read, only the size and footer of each file."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime

from skipfill.store.checks.index import CheckIndex
from skipfill.store.checks.repeated import repeated
from skipfill.store.checks.report import Report
from skipfill.store.checks.reranking import ModelInWay, Reranking, way_fingerprint, way_words
from skipfill.store.checks.saved_reports import load_report, readable_report
from skipfill.store.errors import Advice, BadInput, NotAcceptable, Stale, minute
from skipfill.store.galleries.commit import changed_meanwhile, commit, told
from skipfill.store.galleries.file_list import read_files
from skipfill.store.galleries.gallery import refuse_changed_files
from skipfill.store.galleries.log import Version, latest, read_version
from skipfill.store.models.cards import Card, view_onto
from skipfill.store.models.release import Release
from skipfill.store.releases.backfill_cost import EncodeRate, backfill_cost, cost_beside_reranking
from skipfill.store.releases.evidence import Evidence, advice, evidence_of, since_release
from skipfill.store.releases.grounds import grounds_by_checks
from skipfill.store.releases.plan import Change, Plan, Precondition
from skipfill.store.releases.preconditions import Situation, current_situation, preconditions
from skipfill.store.releases.reranking import refuse_own_rows
from skipfill.store.storage.object_store import ObjectStore


class ReleasedAlready(BadInput):
    """A swap to the model that queries use already.

    Attributes:
        version: the gallery's version in force.
    """

    def __init__(self, gallery: str, model: str, version: Version) -> None:
        super().__init__(
            f"gallery {gallery}",
            expected=f"a release other than {model}",
            found=f"{model}, which is released already (version {version.number})",
        )
        self.version = version


def plan_swap(
    objects: ObjectStore,
    gallery: str,
    card: Card,
    without_check: str = "",
    rate: EncodeRate | None = None,
    price_per_million: float | None = None,
    index: CheckIndex | None = None,
    rerank: Reranking | None = None,
) -> Plan:
    """Plan a swap to `card`: what it changes, requires and saves. Writes nothing.

    Args:
        without_check: a reason for swapping without a passing check; it is recorded.
        rate: items that the model encodes in a time that was measured; None where it was not.
        price_per_million: of encoding a million items, in any currency; None where none is given.
        index: of the gallery's checks; applying the plan right afterwards with it reads none again.
        rerank: how the model re-ranks; None if its view alone ranks.

    Raises:
        ReleasedAlready: queries use the model already, in the same way.
        BadInput: the model has no view onto the gallery's space, or would re-rank rows of its own; or the report of the
            check that allows the swap is damaged.
    """
    now = latest(objects, gallery)
    view = view_onto(card, now.space)
    way = way_fingerprint(card.fingerprint, rerank)
    if now.release is not None and now.release.way == way:
        raise ReleasedAlready(gallery, way_words(card.name, rerank), now)
    refuse_own_rows(objects, now, card, rerank)
    index = index or CheckIndex(objects, gallery)
    evidence = None if without_check else evidence_of(objects, gallery, now, way, index)
    check = evidence.deciding if evidence else None
    allowing = evidence.standing.allowing if evidence else None
    report = load_report(objects, gallery, allowing.check) if allowing else None
    avoids = backfill_cost(now.rows, card.dim, rate, price_per_million)
    if rerank is not None:
        measured = report or readable_report(objects, gallery, check.check if check else "")
        of_check = measured.rerank if measured else None
        avoids = cost_beside_reranking(now.rows, card.dim, rate, price_per_million, of_check)
    plan = Plan(
        gallery=gallery,
        version=now.number,
        state=now.state,
        files=now.files,
        model=card.name,
        fingerprint=card.fingerprint,
        view=view,
        check=check.check if check else "",
        verdict=check.verdict if check else "",
        without_check=without_check,
        changes=Change(now.queries_use, way_words(card.name, rerank), report.thresholds if report else []),
        requires=[],
        avoids=avoids,
        created=datetime.now(UTC).isoformat(timespec="milliseconds"),
        rerank=rerank,
    )
    return replace(plan, requires=preconditions(plan, current_situation(objects, plan, index))).identified()


def refuse_applied(objects: ObjectStore, plan: Plan) -> None:
    """Raise `ReleasedAlready` if this plan brought the release in force."""
    now = latest(objects, plan.gallery)
    if now.released_at > plan.version and read_version(objects, plan.gallery, now.released_at).plan == plan.id:
        raise ReleasedAlready(plan.gallery, way_words(plan.model, plan.rerank), now)


def checks_against(objects: ObjectStore, gallery: str, now: Version, index: CheckIndex | None = None) -> list[str]:
    """The checks since the release that speak against the released model, oldest first: id and verdict, `1a2b fail`."""
    if now.release is None:
        return []
    first = grounds_by_checks(objects, gallery, now, index).since
    return since_release(first, evidence_of(objects, gallery, now, now.release.way, index).standing)


def planned_version(
    objects: ObjectStore, plan: Plan, index: CheckIndex | None = None, *, reason: str = "", at_once: bool = False
) -> Version:
    """Make the version that applies `plan`, from a state of the store in which its preconditions hold.

    Writes nothing. The version's number is the one after the planned version, so committing it fails if another
    change came first.

    Args:
        index: of the gallery's checks; entries that it has read are not read again.
        reason: for the history; it also answers a rollback that left the model.
        at_once: whether the caller has just made the plan: errors then do not mention it.

    Raises:
        Stale: something required no longer holds, or a file of the gallery is not the one that was registered.
        NotAcceptable: the plan was made without a passing check, or a rollback left its model and nothing answers it.
    """
    index = index or CheckIndex(objects, plan.gallery)
    now = _fitting_situation(objects, plan, index, reason, at_once=at_once)
    refuse_changed_files(objects, plan.gallery, read_files(objects, plan.gallery, now.version))
    # Looking at many files takes a while: a check may have failed meanwhile.
    now = _fitting_situation(objects, plan, index, reason, at_once=at_once)
    check, thresholds = ("", []) if now.check is None else (now.check.id, now.check.thresholds)
    return replace(
        now.version,
        number=now.version.number + 1,
        action="swapped",
        release=Release(plan.model, plan.fingerprint, plan.view, check, plan.without_check, thresholds, plan.rerank),
        undo=now.version.number,
        reason=reason or plan.without_check,
        plan=plan.id,
        since=None,
    )


def _fitting_situation(objects: ObjectStore, plan: Plan, index: CheckIndex, reason: str, *, at_once: bool) -> Situation:
    """The situation now, if every precondition of the plan holds in it; otherwise raise as `planned_version` does."""
    now = current_situation(objects, plan, index)
    broken = [precondition for precondition in preconditions(plan, now, reason) if not precondition.holds]
    if broken:
        raise _refused(objects, plan, now, broken, at_once=at_once)
    return now


def apply_plan(
    objects: ObjectStore, plan: Plan, index: CheckIndex | None = None, *, reason: str = "", at_once: bool = False
) -> Version:
    """Make the plan's model the one that queries use: commit the version that `planned_version` makes.

    Raises:
        Stale: something required no longer holds, a file of the gallery changed, or another change came first.
        NotAcceptable: see `planned_version`.
    """
    return commit(objects, plan.gallery, planned_version(objects, plan, index, reason=reason, at_once=at_once))


def _refused(
    objects: ObjectStore, plan: Plan, now: Situation, broken: list[Precondition], *, at_once: bool
) -> Stale | NotAcceptable:
    """The error for preconditions that do not hold: it names all that speaks against the swap, unless it is stale."""
    planned_so = plan.verdict != "pass" or any(each.name == "check" and not each.holds for each in plan.requires)
    on_evidence = ("check", "rollback") if planned_so else ("rollback",)
    stale = next((each for each in broken if each.name not in on_evidence), None)
    if stale is None and now.evidence is not None:
        return _not_acceptable(objects, plan, now, now.evidence, {each.name: each.found for each in broken})
    return _stale(objects, plan, now, stale or broken[0], at_once=at_once)


def _not_acceptable(
    objects: ObjectStore, plan: Plan, now: Situation, evidence: Evidence, found: Mapping[str, str]
) -> NotAcceptable:
    """The error for a swap without a pass, or to a model that was rolled back, or both; with what answers each.

    Args:
        found: of the preconditions that do not hold, `check` and `rollback`.
    """
    answer = _answer_to_rollback(plan, now.check, evidence, beside_check="check" in found)
    if "check" not in found:
        return NotAcceptable(f"gallery {plan.gallery}: {found['rollback']}", answer)
    first = advice(objects, now.version, plan, evidence)
    said = (
        f"gallery {plan.gallery} version {plan.version}: expected a passing check of "
        f"{way_words(plan.model, plan.rerank)}, found {found['check']}"
    )
    if "rollback" not in found:
        return NotAcceptable(said, first)
    return NotAcceptable(f"{said}; and {found['rollback']}", Advice("two", first=first, second=answer))


def _answer_to_rollback(plan: Plan, check: Report | None, evidence: Evidence, *, beside_check: bool) -> Advice:
    """The ways of answering a rollback that left the model.

    Args:
        check: the plan's, which says what another one takes.
        beside_check: whether a pass is missing, too.
    """
    gallery, model = plan.gallery, plan.model_in_way
    if evidence.withdrawn is not None and evidence.withdrawn.unknown:
        return Advice("answer_rollback_by_reason", gallery=gallery, model=model)
    if beside_check:
        return Advice("answer_rollback_too", gallery=gallery, model=model)
    checked = ModelInWay(plan.model, repeated(plan.rerank, check))
    return Advice("answer_rollback", gallery=gallery, model=model, checked=checked)


def _stale(objects: ObjectStore, plan: Plan, now: Situation, broken: Precondition, *, at_once: bool) -> Stale:
    """The error for a plan that no longer fits the store."""
    first = None
    if now.version.number > plan.version:
        first = read_version(objects, plan.gallery, plan.version + 1)
    difference = f"{broken.name}: expected {broken.expected}, found {broken.found}"
    if at_once and first is not None:
        return changed_meanwhile(plan.gallery, first)
    if at_once:
        changed = f"gallery {plan.gallery} changed meanwhile: {difference}"
        return Stale(changed, Advice("look_and_run_again", gallery=plan.gallery))
    if first is not None and first.plan == plan.id:
        return Stale(
            f"plan {plan.id}: version {first.number} of gallery {plan.gallery} already applied this plan "
            f"({first.by}, {minute(first.at)})",
            Advice("see_history", gallery=plan.gallery),
        )
    since = f"; {told(first)}" if first is not None else ""
    return Stale(
        f"plan {plan.id}: {difference}{since}",
        Advice("plan_again", gallery=plan.gallery, model=plan.model_in_way),
    )
