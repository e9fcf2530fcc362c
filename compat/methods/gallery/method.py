"""Training against the stored gallery: its rows as neighbours, its class means, and the vectors of its items."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any

from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from skipfill.compat.methods.batch import Batch, Pairs, UnlabelledFeatures
from skipfill.compat.methods.gallery.imitating_head import HeadShape, ImitatingHead
from skipfill.compat.methods.gallery.memory import MOST
from skipfill.compat.methods.gallery.temperature import prototype_temperature, row_temperature, spread
from skipfill.compat.methods.losses.alignment import cosine_alignment
from skipfill.compat.methods.losses.neighbours import stored_neighbours
from skipfill.compat.methods.losses.prototypes import prototype_cross_entropy
from skipfill.compat.methods.losses.rankings import ranking_divergence
from skipfill.compat.methods.method import Method, MethodContext, Terms
from skipfill.compat.nn.classifier import CosineClassifier
from skipfill.compat.nn.normalize import unit
from skipfill.compat.settings import POSITIVE, SHARE, Range


@dataclass(frozen=True)
class Settings:
    """Attributes:
    scale: scale of the classifier's cosine logits.
    softness: temperatures over stored rows and class means, as a multiple of those at which the stored rows
        best predict the class of other stored rows.
    classes: weight of the terms that pull an item to its class mean and to stored rows of its class.
    imitation: weight of the distance to the item's own stored vector, which is measured as a share of the mean distance
        of two stored rows.
    ranking: weight of keeping the ranking of the rows that the stored vector gives.
    strength: weight of the class view against the imitation, for items that are surely of a known class.
    """

    extra_dims: Annotated[int, Range(1)] = 32
    scale: Annotated[float, POSITIVE] = 16.0
    softness: Annotated[float, POSITIVE] = 2.0
    classes: float = 1.5
    imitation: float = 5.0
    ranking: float = 1.0
    strength: float = 3.0
    refit: int = 6
    smoothing: Annotated[float, SHARE] = 0.1


class Gallery(Method):
    """Two heads on one encoder: a class view, and an imitation of the old encoder. Queries use a blend of the two.

    The class view z finds the rows of a known class. The imitation u keeps an item of an unknown class where the old
    encoder had it. See `ImitatingHead` for the blend.

    The class terms are losses of the blend, so that the imitation also learns from items that are not stored. The
    ranking term takes only items without augmentation, because their stored vectors were made without it. After the
    encoder is trained, the class view is trained further, see `refit`.
    """

    summary = "ours: stored rows as neighbours; imitates the old encoder for classes without labels"
    source = "skipfill; the neighbour term after Goldberger et al. 2004"
    needs_sample = True
    needs_pairs = True
    most_remembered = MOST
    settings_type = Settings

    def __init__(self, context: MethodContext, settings: Settings) -> None:
        super().__init__(context, settings)
        assert context.old is not None
        self.settings = settings
        self.refit = settings.refit
        self.old = context.old
        self.view_dim = context.old.dim
        self.dim = self.view_dim + settings.extra_dims
        shape = (context.features, self.view_dim, self.dim, context.classes, settings.scale, settings.strength)
        self.head = ImitatingHead(HeadShape(*shape))
        self.tau = settings.softness * row_temperature(self.old.pool)
        self.means = unit(self.old.present_prototypes)
        self.tau_prototypes = settings.softness * prototype_temperature(self.old)
        self.imitation = settings.imitation / spread(self.old.pool)

    @property
    def _imitating(self) -> ImitatingHead:
        assert isinstance(self.head, ImitatingHead)
        return self.head

    @classmethod
    def head_shape(cls, described: Mapping[str, Any]) -> type[Any]:
        # A blend with the old encoder itself keeps only the class view of this head.
        return HeadShape if "view" in described else super().head_shape(described)

    @classmethod
    def build_head(cls, described: dict[str, Any]) -> nn.Module:
        return ImitatingHead(HeadShape(**described)) if "view" in described else super().build_head(described)

    @classmethod
    def class_layers(
        cls, head: nn.Module, classifier: CosineClassifier | None
    ) -> tuple[nn.Linear, CosineClassifier] | None:
        return (
            (head.own, head.classifier) if isinstance(head, ImitatingHead) else super().class_layers(head, classifier)
        )

    def describe_head(self) -> dict[str, Any]:
        return self._imitating.shape.described()

    def start_refit(self) -> None:
        # The imitation learns from few items, and would overfit them without augmentation, which a refit does not have.
        self._imitating.imitation.requires_grad_(False)

    def remember(self, trained: Tensor, items: UnlabelledFeatures | None) -> None:
        self._imitating.remember(self.old.pool, trained, items)

    def losses(self, batch: Batch) -> Terms:
        assert batch.sample is not None
        assert batch.own_class_rows is not None
        rows, own_class, weights = batch.sample, batch.own_class_rows, self.settings
        outputs = self._imitating.outputs(batch.features)
        views = outputs.blended
        own_mean = self.old.places[batch.labels]
        same_class = batch.labels[:, None] == rows.labels
        means = prototype_cross_entropy(views, self.means, own_mean, scale=1 / self.tau_prototypes)
        near = stored_neighbours(views, own_class.vectors, own_class.stand_for, rows.vectors, same_class, tau=self.tau)
        terms = {
            "class": cross_entropy(outputs.logits, batch.labels, label_smoothing=weights.smoothing),
            "prototypes": weights.classes * means,
            "neighbours": weights.classes * near,
        }
        return terms if batch.pairs is None else terms | self._imitation_terms(batch, batch.pairs, rows.vectors)

    def _imitation_terms(self, batch: Batch, pairs: Pairs, rows: Tensor) -> Terms:
        """Terms that keep pairs near their stored vectors, and keep the ranking by those without augmentation."""
        imitations = self._imitating.imitate(batch.features_of_pairs)
        clean = slice(pairs.augmented, None)
        ranking = ranking_divergence(imitations[clean], pairs.old[clean], rows, tau=self.tau)
        return {
            "imitation": self.imitation * cosine_alignment(imitations, pairs.old),
            "ranking": self.settings.ranking * ranking,
        }
