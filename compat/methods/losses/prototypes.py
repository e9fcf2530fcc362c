"""Cross-entropy against class prototypes of the stored gallery."""

from __future__ import annotations

from torch import Tensor
from torch.nn.functional import cross_entropy

ABSENT = -100  # label of an item whose class has no stored rows


def prototype_cross_entropy(
    compat: Tensor, prototypes: Tensor, labels: Tensor, *, scale: float = 1.0, smoothing: float = 0.0
) -> Tensor:
    """CE(scale * compat P^T, y), over the classes that have stored rows: others get no probability.

    Args:
        compat: (B, d) new embeddings viewed in the old space, L2-normalised.
        prototypes: (C', d) class means, normalised or not as the method says.
        labels: (B,) int64 position of the item's own class among these; `ABSENT` for an item that has no loss.

    Returns:
        Scalar mean; 0 when every item is `ABSENT`.

    Source: Shen et al. 2020, arXiv 2003.11942, eq. 4, with prototypes in place of the old classifier.
    """
    if not bool((labels != ABSENT).any()):
        return compat.sum() * 0.0
    return cross_entropy(scale * compat @ prototypes.T, labels, ignore_index=ABSENT, label_smoothing=smoothing)
