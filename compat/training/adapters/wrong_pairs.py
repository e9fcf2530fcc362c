"""Finds wrong pairs, whose stored vector is that of another item, by the residuals of a robust fit."""

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
"""Most stored rows, drawn at random, that a pair's own stored vector is compared with."""
ROWS_AT_ONCE = 4_096
FEWEST_WRONG = 0.005
"""If fewer than this share of the pairs in memory look wrong, they are kept: they may be right."""
SHOWN = 5


@dataclass(frozen=True)
class PairJudge:
    """Judges pairs by a map and by stored rows drawn at random.

    Attributes:
        fitted: from the new space onto the old one.
        references: (K, d) stored rows, L2-normalised.
    """

    fitted: LinearMap
    references: Tensor

    def z_scores(self, new: Tensor, old: Tensor) -> Tensor:
        """(N,) z-score of each mapped vector's cosine with its stored vector, against its cosines with random rows.

        A random row has 0 on average. A right pair is far above 0, even where the cosine of any two rows is high.
        """
        found = [torch.zeros(0)]
        with torch.inference_mode():
            for start in range(0, len(new), ROWS_AT_ONCE):
                mapped = self.fitted(new[start : start + ROWS_AT_ONCE])
                random = mapped @ self.references.T
                own = (mapped * old[start : start + ROWS_AT_ONCE]).sum(dim=1)
                found.append((own - random.mean(dim=1)) / random.std(dim=1).clamp(min=1e-12))
        return torch.cat(found)


def cross_fitted_z_scores(sample: PairSample, seed: int) -> Tensor:
    """(S,) z-score of each pair, by a judge that is fitted to the other half of the pairs."""
    order = torch.randperm(len(sample), generator=torch.Generator().manual_seed(seed))
    halves = order[: len(order) // 2], order[len(order) // 2 :]
    found = torch.empty(len(sample))
    for judged, fitting in (halves, halves[::-1]):
        found[judged] = judge_by(sample.at(fitting)).z_scores(sample.new[judged], sample.old[judged])
    return found


def judge_by(sample: PairSample) -> PairJudge:
    """A judge whose map is fitted to some pairs. The map is a rotation, which a few wrong pairs hardly change."""
    sums = PairSums(sample.new.shape[1], sample.old.shape[1], with_new=False)
    sums.add(sample.new, sample.old)
    drawn = torch.randperm(len(sample), generator=torch.Generator().manual_seed(0))[:REFERENCES]
    return PairJudge(Procrustes.fit(Pairs(sums, sample), NoSettings(), 0), sample.old[drawn])


@dataclass(frozen=True)
class Judged:
    """The pairs without those that look wrong.

    Attributes:
        pairs: the pairs that are kept.
        wrong: number of pairs left out.
        wrong_ids: ids of some pairs left out, those with the lowest z-scores first.
        related: whether more than half of the pairs seem right; otherwise the two spaces share next to nothing.
    """

    pairs: Pairs
    wrong: int
    wrong_ids: list[int | str]
    related: bool


def without_wrong(opened: OpenedPairs, new: NewVectors, collected: Collected, seed: int, progress: Progress) -> Judged:
    """Find the wrong pairs and leave them out.

    About half of the wrong pairs have a z-score below 0, and hardly any right pair has. So twice the number of pairs
    below 0 estimates the number of wrong pairs, and that many pairs with the lowest z-scores are left out. If some
    pairs in memory are wrong, a second pass over the gallery judges those that are not in memory.
    """
    sample, sums = collected.sample, collected.sums
    as_they_are = Judged(Pairs(sums, sample), 0, [], related=True)
    if sums.count < 2 * Procrustes.fewest_pairs(*sums.dims):
        return as_they_are  # half of the pairs are too few to judge the others by
    z_scores = cross_fitted_z_scores(sample, seed)
    limit = _limit(z_scores)
    if limit is None:
        return replace(as_they_are, related=False)
    wrong = z_scores < limit
    if wrong.float().mean() < FEWEST_WRONG:
        return as_they_are
    lowest = z_scores.argsort()[: int(wrong.sum())][:SHOWN].numpy()
    ids = [opened.items.ids[int(place)].as_py() for place in collected.places[lowest]]
    if len(sample) == sums.count:
        pairs = Pairs(sums, sample).without(wrong)
        return Judged(pairs, int(wrong.sum()), ids, related=True)
    judge = judge_by(sample.at(~wrong))
    wrong = judge.z_scores(sample.new, sample.old) < limit
    right = _right_sums(opened, new, collected, judge, limit, progress)
    pairs = Pairs(right, sample.at(~wrong))
    return Judged(pairs, sums.count - right.count, ids, related=True)


def _limit(z_scores: Tensor) -> float | None:
    """The z-score below which pairs count as wrong; None if half of the pairs or more are wrong."""
    wrong = 2 * int((z_scores < 0).sum())
    if 2 * wrong >= len(z_scores):
        return None
    return float(z_scores.sort().values[wrong])


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
        wrong = judge.z_scores(vectors, old) < limit
        right.add(vectors[wrong], old[wrong], -1)
    return right
