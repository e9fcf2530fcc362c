"""Wrong pairs: items whose stored vector is that of another item, found by the residuals of a robust fit."""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from torch import Tensor

from skipfill.compat.methods.adapters.adapter import NoSettings
from skipfill.compat.methods.adapters.pairs import Pairs, PairSample, PairSums
from skipfill.compat.methods.adapters.procrustes import Procrustes
from skipfill.compat.nn.view_maps import LinearMap
from skipfill.compat.progress import Progress
from skipfill.compat.training.adapters.collect import Collected, joined_blocks
from skipfill.compat.training.adapters.new_vectors import NewVectors
from skipfill.compat.training.adapters.sources import OpenedPairs

REFERENCES = 512
ROWS_AT_ONCE = 4_096
FEWEST_WRONG = 0.005
"""Below this share of the pairs in memory, pairs that look wrong are kept: they may be right."""
SHOWN = 5


@dataclass(frozen=True)
class PairJudge:
    """A map and stored rows drawn at random, by which pairs are judged.

    Attributes:
        fitted: from the new space onto the old one.
        references: (K, d) stored rows, L2-normalised.
    """

    fitted: LinearMap
    references: Tensor

    def standing(self, new: Tensor, old: Tensor) -> Tensor:
        """(N,) cosine of each mapped vector with its stored one, in standard deviations of those with random rows.

        0 is what a random row has. A right pair stands far above it, however high a cosine all rows share.
        """
        found = [torch.zeros(0)]
        with torch.inference_mode():
            for start in range(0, len(new), ROWS_AT_ONCE):
                mapped = self.fitted(new[start : start + ROWS_AT_ONCE])
                random = mapped @ self.references.T
                own = (mapped * old[start : start + ROWS_AT_ONCE]).sum(dim=1)
                found.append((own - random.mean(dim=1)) / random.std(dim=1).clamp(min=1e-12))
        return torch.cat(found)


def standings(sample: PairSample, seed: int) -> Tensor:
    """(S,) standing of each pair, by a map that is fitted to the other half of the pairs."""
    order = torch.randperm(len(sample), generator=torch.Generator().manual_seed(seed))
    halves = order[: len(order) // 2], order[len(order) // 2 :]
    found = torch.empty(len(sample))
    for judged, fitting in (halves, halves[::-1]):
        found[judged] = judge_by(sample.at(fitting)).standing(sample.new[judged], sample.old[judged])
    return found


def judge_by(sample: PairSample) -> PairJudge:
    """A judge that is fitted to some pairs, by a rotation: it cannot bend to a few wrong ones."""
    sums = PairSums(sample.new.shape[1], sample.old.shape[1], with_new=False)
    sums.add(sample.new, sample.old)
    drawn = torch.randperm(len(sample), generator=torch.Generator().manual_seed(0))[:REFERENCES]
    return PairJudge(Procrustes.fit(Pairs(sums, sample), NoSettings(), 0), sample.old[drawn])


@dataclass(frozen=True)
class Judged:
    """The pairs without those that look wrong.

    Attributes:
        pairs: the others.
        wrong: number of pairs left out.
        wrong_ids: some of their ids, those that stand lowest first.
        related: whether most pairs stand above random ones; otherwise the spaces share next to nothing.
    """

    pairs: Pairs
    wrong: int
    wrong_ids: list[int | str]
    related: bool


def without_wrong(opened: OpenedPairs, new: NewVectors, collected: Collected, seed: int, progress: Progress) -> Judged:
    """Find the wrong pairs and leave them out.

    Half of the wrong pairs stand below 0, and next to no right ones. So about twice as many pairs are wrong as stand
    below 0, and the lowest ones are taken to be them. Pairs that are not in memory are judged in a second pass, where
    some in memory are wrong.
    """
    sample, sums = collected.sample, collected.sums
    as_they_are = Judged(Pairs(sums, sample), 0, [], related=True)
    if sums.count < 2 * Procrustes.fewest_pairs(*sums.dims):
        return as_they_are  # half of the pairs are too few to judge the others by
    standing = standings(sample, seed)
    limit = _limit(standing)
    if limit is None:
        return replace(as_they_are, related=False)
    wrong = standing < limit
    if wrong.float().mean() < FEWEST_WRONG:
        return as_they_are
    lowest = standing.argsort()[: int(wrong.sum())][:SHOWN].numpy()
    ids = [opened.items.ids[int(place)].as_py() for place in collected.places[lowest]]
    if len(sample) == sums.count:
        pairs = Pairs(sums, sample).without(wrong)
        return Judged(pairs, int(wrong.sum()), ids, related=True)
    judge = judge_by(sample.at(~wrong))
    wrong = judge.standing(sample.new, sample.old) < limit
    right = _right_sums(opened, new, collected, judge, limit, progress)
    pairs = Pairs(right, sample.at(~wrong))
    return Judged(pairs, sums.count - right.count, ids, related=True)


def _limit(standing: Tensor) -> float | None:
    """The standing with as many pairs below it as are wrong; None where half of the pairs or more are."""
    wrong = 2 * int((standing < 0).sum())
    if 2 * wrong >= len(standing):
        return None
    return float(standing.sort().values[wrong])


def _right_sums(
    opened: OpenedPairs, new: NewVectors, collected: Collected, judge: PairJudge, limit: float, progress: Progress
) -> PairSums:
    """The sums over all pairs that do not look wrong, in a second pass over the gallery."""
    right = collected.sums.copy()
    new.rewind()
    progress.start("looking for wrong pairs", opened.gallery.rows.count)
    for joined in joined_blocks(opened.gallery, opened.items.ids, progress):
        vectors = torch.from_numpy(new.take(joined.places))
        old = torch.from_numpy(joined.old)
        wrong = judge.standing(vectors, old) < limit
        right.add(vectors[wrong], old[wrong], -1)
    return right
