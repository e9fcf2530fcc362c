"""Base of every method that is trained by gradients: a head, which goes into the bundle, and named loss terms."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from skipfill.compat.methods.batch import Batch, OldSpace, Pairs, UnlabelledFeatures
from skipfill.compat.methods.kind import MethodKind
from skipfill.compat.methods.losses.alignment import cosine_alignment
from skipfill.compat.nn.classifier import CosineClassifier
from skipfill.compat.nn.normalize import unit

KEEPING = 5.0  # weight of 1 - cosine to the stored vector, chosen by measurements with unlabelled samples


@dataclass(frozen=True)
class MethodContext:
    """Sizes and the old space that a method is built for.

    Attributes:
        features: F, width of the encoder's output.
        classes: C, number of class slots.
        dim: dimension asked for by the user; 0 for the method's own choice.
        old: the gallery's space; None without a gallery.
        teacher: dimension of the teacher's embeddings; 0 without one.
        slots: (C,) vertex of each class on the simplex; empty for methods without a simplex.
    """

    features: int
    classes: int
    dim: int
    old: OldSpace | None
    teacher: int = 0
    slots: Sequence[int] = ()


Terms = dict[str, Tensor]


class Method(MethodKind, nn.Module):
    """Base of every method that is trained by gradients.

    Class attributes:
        needs_sample: whether its batches have stored rows (`sample` and `own_class_rows`) instead of `old`.
        takes_dim: whether the user may choose its dimension.
        on_simplex: whether classes are vertices of a simplex that models share, at slots that later models keep. Its
            settings then have `classes`, the number of vertices, and `slots`, the end that new classes are put at.
        needs_pairs: whether its losses use pairs: items with their stored vectors, which then include training items.
            For other methods, `keeping` keeps unlabelled items near their stored vectors.
        most_remembered: most items that its head remembers; 0 for a head without a memory.

    Instance attributes:
        head: features (N, F) -> embedding (N, D), not normalised. The bundle keeps the head, and the attribute
            `classifier` if it is a `CosineClassifier`, but nothing else of the method.
        dim: D.
        view_dim: the first `view_dim` coordinates of an embedding, renormalised, lie in the old space; 0 for no view.
        refit: epochs for which the method is trained further, on the features of the trained encoder; 0 for none.
    """

    needs_sample: ClassVar[bool] = False
    takes_dim: ClassVar[bool] = False
    needs_pairs: ClassVar[bool] = False
    most_remembered: ClassVar[int] = 0
    on_simplex: ClassVar[bool] = False

    head: nn.Module
    dim: int
    view_dim: int
    refit: int = 0

    def __init__(self, context: MethodContext, settings: Any) -> None:
        super().__init__()

    @classmethod
    def has_view(cls) -> bool:
        """Whether its embeddings have a view onto the space of a gallery."""
        return cls.needs_gallery or cls.on_simplex

    def describe_head(self) -> dict[str, Any]:
        """JSON values that `build_head` needs."""
        assert isinstance(self.head, nn.Linear)
        return {"features": self.head.in_features, "dim": self.head.out_features}

    def start_refit(self) -> None:
        """Prepare for the refit, on the features of the trained encoder. By default, nothing is done."""

    def losses(self, batch: Batch) -> Terms:
        """The loss terms by name, each a scalar with its weight applied; training minimises their sum.

        Names are identifiers. Tensors of the gallery that the method keeps must be its attributes, alone or in
        dataclasses or tuples, so that they are moved to the device of the training.
        """
        raise NotImplementedError

    def remember(self, trained: Tensor, items: UnlabelledFeatures | None) -> None:
        """Fill the memory of the head. Called once, after training, if the head has a memory.

        Args:
            trained: (N, F) features of some training items without augmentation, by the trained encoder.
            items: the unlabelled items of the gallery, when there are any.
        """

    def keeping(self, batch: Batch, pairs: Pairs) -> Terms:
        """A loss that keeps unlabelled items near their stored vectors, for methods whose losses use no pairs."""
        view = self.head(batch.features_of_pairs)[:, : self.view_dim]
        return {"unlabelled": KEEPING * cosine_alignment(view, pairs.old)}


class PrefixMethod(Method):
    """A method whose head has d + e coordinates, of which the first d, renormalised, lie in the old space.

    Its settings have `extra_dims`, e.
    """

    def __init__(self, context: MethodContext, settings: Any) -> None:
        super().__init__(context, settings)
        assert context.old is not None
        self.settings = settings
        self.old = context.old
        self.view_dim = context.old.dim
        self.dim = self.view_dim + settings.extra_dims
        self.head = nn.Linear(context.features, self.dim)

    def old_view(self, embedding: Tensor) -> Tensor:
        """(B, D) embeddings -> (B, d) L2-normalised, in the old space."""
        return unit(embedding[:, : self.view_dim])


class CosinePrefixMethod(PrefixMethod):
    """A prefix method that classifies by scaled cosines. Its settings also have `scale` and `smoothing`."""

    def __init__(self, context: MethodContext, settings: Any) -> None:
        super().__init__(context, settings)
        self.classifier = CosineClassifier(self.dim, context.classes, settings.scale)

    def classification(self, embedding: Tensor, labels: Tensor) -> Tensor:
        """Cross-entropy of (B, D) embeddings."""
        return cross_entropy(self.classifier(embedding), labels, label_smoothing=self.settings.smoothing)
