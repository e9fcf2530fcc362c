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
    scale: of the own classifier's cosine logits.
    softness: temperatures over stored rows and class means, as a multiple of those at which the stored rows
        themselves best tell each other's class.
    classes: weight of finding class means and stored rows of the class.
    imitation: weight of the distance to the own stored vector, as a share of the mean distance of two stored rows.
    ranking: weight of keeping the stored vector's own ranking.
    strength: weight of the class view against the imitation, for items that are surely known.
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
    """The class view z finds the rows of a known class; the imitation u keeps an unknown item where the old encoder
    had it. Both are heads of one encoder, and their blend is what queries use (see `ImitatingHead`).

    The class terms see the blend, by which an imitation is learned of items that are not stored too. The ranking is
    kept on items that are not augmented: the stored vector is that of the item, not of its augmentation. The class view
    is trained on when the encoder is done, see `refit`.
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
        # Of this head, a blend with the old encoder itself keeps the class view alone.
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
        # The imitation is learned from few items. Their augmentations keep it from overfitting them.
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
        """Each pair near its own stored vector; of those that are not augmented, the ranking of the rows kept too."""
        imitations = self._imitating.imitate(batch.features_of_pairs)
        clean = slice(pairs.augmented, None)
        ranking = ranking_divergence(imitations[clean], pairs.old[clean], rows, tau=self.tau)
        return {
            "imitation": self.imitation * cosine_alignment(imitations, pairs.old),
            "ranking": self.settings.ranking * ranking,
        }
