"""The device that a training runs on, its precision, and its random numbers."""

from __future__ import annotations

from typing import Literal

import torch

from skipfill.store.errors import BadInput, Parameter

Device = Literal["auto", "cpu", "cuda"]
Precision = Literal["auto", "bf16", "f32"]


def resolved_device(device: Device) -> Device:
    """Resolve `auto` to `cuda` or `cpu`, whichever the machine has.

    Raises:
        BadInput: `cuda` was asked for, and torch sees no GPU.
    """
    if device == "cuda" and not torch.cuda.is_available():
        raise BadInput(Parameter("device"), expected="cpu: torch sees no GPU", found=device)
    if device != "auto":
        return device
    return "cuda" if torch.cuda.is_available() else "cpu"


def has_bf16(device: str) -> bool:
    """Whether the device multiplies bfloat16 in hardware; without that, bf16 is slower than f32."""
    if device == "cuda":
        return torch.cuda.is_available() and torch.cuda.is_bf16_supported(including_emulation=False)
    probes = ("_is_avx512_bf16_supported", "_is_amx_tile_supported")
    return any(getattr(torch.cpu, probe)() for probe in probes if hasattr(torch.cpu, probe))


def draw_from(seed: int, device: torch.device) -> None:
    """Seed the random numbers of the CPU and of the device.

    `torch.manual_seed` is not used, because it records a stack trace for every missing kind of device. That takes 2% of
    the step of a small net.
    """
    torch.default_generator.manual_seed(seed)
    if device.type == "cuda":
        torch.cuda.manual_seed(seed)
