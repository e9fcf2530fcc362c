"""Heads of the methods as steps of a `Program`."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

from torch import Tensor, nn

from skipfill.compat.export.program import Program
from skipfill.compat.methods.bt2 import Bt2Head
from skipfill.compat.methods.gallery.imitating_head import RAMP, STRANGE, VIEWED, ImitatingHead
from skipfill.compat.methods.gallery.memory import AMONG_POINTS, FOLLOWING, NEAREST, SURE, DensityRatio, ItemMemory
from skipfill.compat.methods.gallery.own_space import LOOKS, TELLING, OwnSpace
from skipfill.compat.nn.classifier import CosineClassifier
from skipfill.compat.nn.normalize import unit


def _bt2(program: Program, head: Bt2Head, features: str) -> str:
    add, bases = program.add, [head.mix_new.get_parameter("weight"), head.mix_old.get_parameter("weight")]
    wide = _layer(program, head.backbone, features, "backbone")
    old = add("normalize", _layer(program, head.imitate_old, add("relu", wide), "imitate_old"))
    new = add("normalize", add("slice", wide, start=0, stop=head.new))
    mixed = add(
        "linear",
        add("scale", new, factor=head.weight, constant=0.0),
        to="mix_new",
        tensors={"weight": bases[0]},
    )
    if head.extra:
        mixed = add("concat", add("normalize", add("slice", old, start=0, stop=head.extra)), mixed)
    first = add("linear", add("slice", mixed, start=0, stop=head.old), to="mix_old", tensors={"weight": bases[1]})
    return add("concat", first, add("slice", mixed, start=head.old, stop=head.new + head.extra))


def _imitating(program: Program, head: ImitatingHead, features: str) -> str:
    add, view = program.add, head.shape.view
    hidden = _layer(program, head.own, features, "class_view")
    imitation = add("normalize", _layer(program, head.imitation, features, "imitation"))
    query_view = imitation
    if head.within_class is not None:
        query_view = add(
            "normalize", add("linear", imitation, to="within_class", tensors={"weight": head.within_class.T})
        )
    weight = add("scale", certainty(program, head.classifier, hidden), factor=head.shape.strength, constant=0.0)
    summands = [query_view]
    if head.shape.items or head.shape.rows:
        known, recalled = _known(program, head, features, imitation)
        weight = add("multiply", weight, known)
        summands += [add("multiply", add("scale", known, factor=-1.0, constant=1.0), recalled)] if recalled else []
    class_view = add("normalize", add("slice", hidden, start=0, stop=view))
    blended = add("normalize", add("add", add("multiply", weight, class_view), *summands))
    own = _own_space(program, head.space, features, hidden)
    return add(
        "concat",
        add("scale", blended, factor=VIEWED**0.5, constant=0.0),
        add("scale", own, factor=(1 - VIEWED) ** 0.5, constant=0.0),
    )


def _known(program: Program, head: ImitatingHead, features: str, imitation: str) -> tuple[str, str]:
    """The values s and a k of `ImitatingHead`; the second is empty where nothing is recalled."""
    add, recalled, odds = program.add, "", []
    by_items, by_rows, constant = (float(weight) for weight in head.evidence)
    if head.shape.items:
        keys = add("normalize", add("linear", features, to="directions", tensors={"weight": head.items.directions.T}))
        odds += _log_odds(program, head.items, keys, by_items, "remembered_items")
        if not bool(head.items.known.all()):
            recalled = _recalled(program, head.items, keys)
    if head.shape.rows:
        odds += _log_odds(program, head.rows, imitation, by_rows, "remembered_rows")
    if not odds:  # each memory is of one kind
        level = min(max((constant - STRANGE) / RAMP + 0.5, 0.0), 1.0)
        return add("scale", add("mean", imitation), factor=0.0, constant=level), recalled
    total = add("add", *odds)
    return add(
        "clip", add("scale", total, factor=1 / RAMP, constant=(constant - STRANGE) / RAMP + 0.5), low=0.0, high=1.0
    ), recalled


def _log_odds(program: Program, memory: DensityRatio, keys: str, weight: float, name: str) -> list[str]:
    """The weighted log odds of a memory; none where its points are of one kind."""
    known, add = int(memory.known.sum()), program.add
    if known in (0, len(memory.known)):
        return []
    sharp = memory.keys / (AMONG_POINTS * memory.spread)
    sums = [
        add("logsumexp", add("linear", keys, to=f"{name}_{kind}", tensors={"weight": sharp[chosen]}))
        for kind, chosen in (("known", memory.known), ("strange", ~memory.known))
    ]
    balance = math.log((len(memory.known) - known) / known)
    odds = add("scale", add("subtract", *sums), factor=1.0, constant=balance)
    return [add("scale", add("clip", odds, low=-SURE, high=SURE), factor=weight, constant=0.0)]


def _recalled(program: Program, memory: ItemMemory, keys: str) -> str:
    add, strange = program.add, ~memory.known
    cosines = add("linear", keys, to="strange_items", tensors={"weight": memory.keys[strange]})
    best = add("largest", cosines, count=1)
    count = min(FOLLOWING + 1, int(strange.sum()))
    by_best, by_lead, constant = (float(weight) for weight in memory.same_class)
    lead = ""
    if count > 1:
        following = add("slice", add("largest", cosines, count=count), start=1, stop=count)
        lead = add("scale", add("subtract", best, add("mean", following)), factor=by_lead, constant=0.0)
    total = add("scale", best, factor=by_best, constant=constant)
    likely = add("sigmoid", add("add", total, lead) if lead else total)
    sharp = add("softmax", add("scale", cosines, factor=1 / (NEAREST * float(memory.spread)), constant=0.0))
    stored = add("normalize", add("linear", sharp, to="stored", tensors={"weight": memory.stored[strange].T}))
    trust = add("scale", add("multiply", likely, likely), factor=float(memory.trust), constant=0.0)
    return add("multiply", trust, stored)


def _own_space(program: Program, space: OwnSpace, features: str, hidden: str) -> str:
    add = program.add
    centred = add("subtract", add("normalize", features), to="centred", tensors={"values": space.middle})
    looks = add("normalize", add("linear", centred, to="looks", tensors={"weight": space.looks.T}))
    both = add(
        "concat",
        add("scale", add("normalize", hidden), factor=TELLING**0.5, constant=0.0),
        add("scale", looks, factor=LOOKS**0.5, constant=0.0),
    )
    away = add("subtract", both, to="both_centred", tensors={"values": space.middle_of_both})
    return add("normalize", add("linear", away, to="own_space", tensors={"weight": space.mixed.T}))


def certainty(program: Program, classifier: CosineClassifier, embedding: str) -> str:
    """The classifier's largest probability, (N, 1)."""
    weight: Tensor = classifier.scale * unit(classifier.weight)
    logits = program.add("linear", program.add("normalize", embedding), to="classifier", tensors={"weight": weight})
    return program.add("largest", program.add("softmax", logits), count=1)


def _layer(program: Program, layer: nn.Linear, of: str, name: str) -> str:
    return program.add("linear", of, to=name, tensors={"weight": layer.weight, "bias": layer.bias})


HEAD_STEPS: dict[type[nn.Module], Callable[[Program, Any, str], str]] = {
    nn.Linear: lambda program, head, features: _layer(program, head, features, "head"),
    nn.Identity: lambda program, head, features: features,
    Bt2Head: _bt2,
    ImitatingHead: _imitating,
}
"""Heads that can be written as steps: each takes the name of the features, and returns that of the embedding."""
