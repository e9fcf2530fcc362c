"""Cross-entropy against class prototypes of the stored gallery."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn.functional import cross_entropy


def prototype_cross_entropy(
    compat: Tensor, prototypes: Tensor, present: Tensor, labels: Tensor, *, scale: float = 1.0, smoothing: float = 0.0
) -> Tensor:
    """CE(scale * compat P^T, y), over the classes that have stored rows.

    Args:
        compat: (B, d) new embeddings viewed in the old space, L2-normalised.
        prototypes: (C, d) class means, normalised or not as the method says.
        present: (C,) bool; absent classes get no probability, and their items no loss.
        labels: (B,) int64.

    Returns:
        Scalar mean; 0 when no item's class is present.

    Source: Shen et al. 2020, arXiv 2003.11942, eq. 4, with prototypes in place of the old classifier.
    """
    usable = present[labels]
    if not bool(usable.any()):
        return compat.sum() * 0.0
    # Only present classes: a masked -inf logit would make label smoothing infinite.
    slot = present.cumsum(0) - 1
    logits = scale * compat @ prototypes[present].T
    return cross_entropy(logits, torch.where(usable, slot[labels], -100), label_smoothing=smoothing)
