"""Base of all methods, trained or fitted: their entry in the list of methods, and their heads in bundles."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any, ClassVar

from torch import nn

from skipfill.compat.nn.classifier import CosineClassifier
from skipfill.compat.settings import WIDEST, WIDEST_FEATURES, Range


@dataclass(frozen=True)
class LinearShape:
    """Sizes of a head that is one linear layer: F features, D dimensions."""

    features: Annotated[int, Range(1, WIDEST_FEATURES)]
    dim: Annotated[int, Range(1, WIDEST)]


class MethodKind:
    """Base of every method.

    Class attributes:
        summary: one line for the list of methods.
        source: authors, year, arXiv id.
        needs_gallery, needs_teacher: whether it must be given a gallery, or a teacher.
        settings_type: frozen dataclass of hyperparameters with the published defaults.
    """

    summary: ClassVar[str]
    source: ClassVar[str]
    needs_gallery: ClassVar[bool] = True
    needs_teacher: ClassVar[bool] = False
    settings_type: ClassVar[type[Any]]

    @classmethod
    def head_shape(cls, described: Mapping[str, Any]) -> type[Any]:
        """The dataclass of the values that describe the head in a bundle, with their ranges."""
        return LinearShape

    @classmethod
    def build_head(cls, described: dict[str, Any]) -> nn.Module:
        """Build the head from its description, ready for the bundle's weights."""
        return nn.Linear(described["features"], described["dim"])

    @classmethod
    def dim_of_head(cls, described: Mapping[str, Any]) -> int:
        """D of the head that `build_head` makes."""
        return int(described["dim"])

    @classmethod
    def class_layers(
        cls, head: nn.Module, classifier: CosineClassifier | None
    ) -> tuple[nn.Linear, CosineClassifier] | None:
        """The layer that finds the rows of a known class, and the classifier that gives its certainty; or None.

        Args:
            head: the head of a bundle.
            classifier: the classifier of the same bundle, if it is not a part of the head.
        """
        return (head, classifier) if isinstance(head, nn.Linear) and classifier is not None else None
