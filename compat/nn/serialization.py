"""Tensors as safetensors."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from safetensors.torch import save
from torch import Tensor


def tensor_bytes(tensors: Mapping[str, Tensor], metadata: dict[str, str] | None = None) -> bytes:
    """A file of these tensors. Tensors that share memory, like tied weights, are written under each name."""
    apart: dict[str, Tensor] = {}
    seen: set[int] = set()
    for name, value in tensors.items():
        where = value.untyped_storage().data_ptr()
        apart[name] = value.clone(memory_format=torch.contiguous_format) if where in seen else value.contiguous()
        seen.add(where)
    data: bytes = save(apart, metadata=metadata)
    return data
