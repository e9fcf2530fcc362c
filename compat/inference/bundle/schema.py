"""Schema of a bundle: what a card may ask for, and what its weights must be. It is checked before anything is built.

A bundle may come from anyone. Every number in a card has a range, every key is known, and the weights have the names,
shapes and types of the card's network. So no network is built that needs more memory than its file has bytes.
"""

from __future__ import annotations

import dataclasses
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Annotated, Any

from torch import Tensor, nn
from torch.nn.modules.module import (
    register_module_module_registration_hook,
    register_module_parameter_registration_hook,
)

from skipfill.compat.encoders.registry import ENCODERS
from skipfill.compat.inference.bundle.view_schema import (
    BlendDescription,
    MapDescription,
    refuse_blend,
    refuse_maps,
    refuse_views,
)
from skipfill.compat.methods.registry import METHODS
from skipfill.compat.settings import MOST_CLASSES, WIDEST, Range, read_described
from skipfill.store.errors import BadInput, unknown_name
from skipfill.store.models.cards import Card
from skipfill.store.parquet.files import LONGEST
from skipfill.store.storage.layout import valid_name
from skipfill.store.strict_json import fitted, parsed

MOST_NETWORKS = 8  # a blend holds a whole older network, which may be a blend
LARGEST_HEADER = 1 << 24
MOST_TENSORS = 1 << 14
MOST_MODULES = 64  # for each tensor: a layer has some modules without weights
MOST_ITEMS = 1 << 40
BLEND = "blend"  # the method of a card whose network has an older one in it
MOST_UNSAVED = 1 << 28  # bytes of buffers that are not in the file
_TYPES = {
    **{"F64": "float64", "F32": "float32", "F16": "float16", "BF16": "bfloat16"},
    **{"I64": "int64", "I32": "int32", "I16": "int16", "I8": "int8", "U8": "uint8", "BOOL": "bool"},
}


@dataclass(frozen=True)
class EncoderDescription:
    """Kind of an encoder, and its settings, which have a schema of their own."""

    kind: str
    settings: dict[str, Any]


@dataclass(frozen=True)
class ClassifierDescription:
    """Sizes and scale of a `CosineClassifier`."""

    dim: Annotated[int, Range(1, WIDEST)]
    classes: Annotated[int, Range(1, MOST_CLASSES)]
    scale: float


@dataclass(frozen=True)
class NetworkDescription:
    """The network of a card, see `Network.describe`; the head has a schema of its own."""

    encoder: EncoderDescription
    method: str
    head: dict[str, Any]
    classifier: ClassifierDescription | None
    old: NetworkDescription | None
    old_dim: Annotated[int, Range(0, WIDEST)]
    maps: list[MapDescription] = dataclasses.field(default_factory=list)
    blend: BlendDescription | None = None


@dataclass(frozen=True)
class TensorHeader:
    """One tensor of a file of safetensors, as its header describes it."""

    dtype: str
    shape: list[int]
    data_offsets: list[int]


@dataclass(frozen=True)
class GalleryOfTraining:
    """The gallery that a card says its model was trained against."""

    name: str
    version: Annotated[int, Range(1, MOST_ITEMS)]
    space: str
    rows: Annotated[int, Range(0, MOST_ITEMS)]


def refuse_card(card: Card) -> None:
    """Raise `BadInput` unless a card agrees with its network, and its numbers are within their ranges."""
    where = f"model {card.name}"
    refuse_description(card.network, where)
    network = fitted(NetworkDescription, card.network, where, {})
    method = BLEND if network.old is not None or network.blend is not None else network.method
    if card.method != method:
        raise BadInput(f"{where}, method", expected=f"{method!r}, by its network", found=repr(card.method[:80]))
    dim = METHODS[network.method].dim_of_head(network.head)
    if card.dim != dim:
        raise BadInput(f"{where}, dim", expected=f"{dim}, by its network", found=f"{card.dim:,}")
    refuse_views(card, network.maps, network.blend, where)
    if card.gallery:
        gallery = read_described(GalleryOfTraining, card.gallery, f"{where}, gallery")
        valid_name("gallery", gallery.name)
        valid_name("space", gallery.space)
    numbers = {
        "trained_items": ([card.trained_items], Range(0, MOST_ITEMS)),
        "slots": (card.slots.values(), Range(0, MOST_CLASSES)),
    }
    for field, (values, limits) in numbers.items():
        for value in values:
            if not limits.low <= value <= limits.high:
                raise BadInput(f"{where}, {field}", expected=f"a whole number {limits}", found=str(value)[:40])
    for field, labels in {"classes": card.classes, "trained_labels": card.trained_labels}.items():
        if len(labels) > MOST_CLASSES or any(len(label.encode(errors="replace")) > LONGEST for label in labels):
            raise BadInput(
                f"{where}, {field}",
                expected=f"at most {MOST_CLASSES:,} labels of at most {LONGEST:,} bytes",
                found="more, or longer ones",
            )


def refuse_description(described: Mapping[str, Any], where: str) -> None:
    """Raise `BadInput` unless a card's network has known parts, known keys, and numbers within their ranges.

    Args:
        where: the model, for messages.
    """
    network = read_described(NetworkDescription, described, f"{where}, network")
    for depth in range(MOST_NETWORKS + 1):
        if depth == MOST_NETWORKS:
            raise BadInput(where, expected=f"at most {MOST_NETWORKS} networks in a blend", found="more")
        _refuse_parts(network, where)
        if network.old is None:
            return
        network, where = network.old, f"{where}, old network"


def _refuse_parts(network: NetworkDescription, where: str) -> None:
    hint = "Upgrade skipfill: the model needs it."
    kind, method = network.encoder.kind, network.method
    if kind not in ENCODERS:
        raise unknown_name("encoder", kind, ENCODERS, hint)
    if method not in METHODS:
        raise unknown_name("method", method, METHODS, hint)
    encoder = f"{where}, encoder {kind}"
    ENCODERS[kind].refuse_described(
        read_described(ENCODERS[kind].settings_type, network.encoder.settings, encoder), encoder
    )
    read_described(METHODS[method].head_shape(network.head), network.head, f"{where}, head")
    dim = METHODS[method].dim_of_head(network.head)
    refuse_maps(network.maps, dim, where)
    if network.blend is not None:
        old = 0 if network.old is None else METHODS[network.old.method].dim_of_head(network.old.head)
        refuse_blend(network.blend, network.maps, (dim, old), where)
        if network.blend.weight is None and network.classifier is None:
            raise BadInput(
                f"{where}, blend", expected="a classifier that says how sure it is, or a weight", found="none"
            )


def read_header(weights: bytes, where: str) -> dict[str, TensorHeader]:
    """The tensors in a file of safetensors, by name; their values are not read.

    Raises:
        BadInput: not safetensors, or more tensors than a model may have.
    """
    length = int.from_bytes(weights[:8], "little")
    if not 2 <= length <= min(LARGEST_HEADER, len(weights) - 8):
        raise BadInput(where, expected="weights as safetensors", found=f"a header of {length:,} bytes")
    raw = parsed(weights[8 : 8 + length], where, LARGEST_HEADER)
    if not isinstance(raw, dict) or len(raw) > MOST_TENSORS:
        raise BadInput(where, expected=f"at most {MOST_TENSORS:,} tensors", found="others")
    return {name: fitted(TensorHeader, one, f"{where}, {name}") for name, one in raw.items() if name != "__metadata__"}


def refuse_tensors(tensors: Mapping[str, TensorHeader], skeleton: nn.Module, where: str) -> None:
    """Raise `BadInput` unless the weights are those of the network, by name, shape and type.

    Args:
        skeleton: the network, built without memory for its weights.
    """
    needed = skeleton.state_dict()
    for name in sorted(needed.keys() | tensors.keys()):
        expected, found = _of_card(needed.get(name)), _of_file(tensors.get(name))
        if expected != found:
            raise BadInput(f"{where}, {name[:80]}", expected=f"a network that its weights fit: {expected}", found=found)
    unsaved = sum(one.nbytes for one in skeleton.buffers()) - sum(one.nbytes for one in needed.values())
    if unsaved > MOST_UNSAVED:
        raise BadInput(where, expected="tables of at most 256 MiB beside the weights", found=f"{unsaved:,} bytes")


def _of_card(tensor: Tensor | None) -> str:
    return "none" if tensor is None else f"{str(tensor.dtype).removeprefix('torch.')} {list(tensor.shape)}"


def _of_file(tensor: TensorHeader | None) -> str:
    return "none" if tensor is None else f"{_TYPES.get(tensor.dtype, tensor.dtype[:20])} {tensor.shape}"


@contextmanager
def at_most(tensors: int) -> Iterator[None]:
    """Let this thread build no module with far more parameters, or many times more parts, than `tensors`.

    Raises:
        ValueError: as soon as it does.
    """
    left = {"weights": 2 * tensors + 64, "parts": MOST_MODULES * (tensors + 64)}  # a part may be dropped again
    thread = threading.get_ident()

    def count(kind: str) -> None:
        if threading.get_ident() == thread:
            left[kind] -= 1
            if left[kind] < 0:
                raise ValueError(f"a network of more {kind} than its {tensors:,} tensors")

    hooks = [
        register_module_parameter_registration_hook(lambda *of: count("weights")),
        register_module_module_registration_hook(lambda *of: count("parts")),
    ]
    try:
        yield
    finally:
        for hook in hooks:
            hook.remove()
