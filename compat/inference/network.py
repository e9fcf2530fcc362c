"""The network of a bundle: an encoder and a head, perhaps with a classifier, maps, and a whole older network."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from skipfill.compat.encoders.encoder import Encoder, ReadFile
from skipfill.compat.encoders.registry import ENCODERS
from skipfill.compat.methods.method import Method
from skipfill.compat.methods.registry import METHODS
from skipfill.compat.nn.classifier import CosineClassifier
from skipfill.compat.nn.normalize import unit
from skipfill.compat.nn.serialization import tensor_bytes
from skipfill.compat.nn.view_maps import LinearMap, build_map
from skipfill.store.errors import Advice, BadInput
from skipfill.store.parquet.items import ItemBlock

OLD = "old-"  # before the file names of the older network


@dataclass(frozen=True)
class Blend:
    """The view onto `space` mixes the model's own view v there with the old encoder's vector o of the same item:

        n(w n(v) + (1 - w) n(o))

    With `weight` None, w follows the classifier's certainty p = max_c softmax(s cos(h, W_c)): w / (1 - w) = sqrt(p),
    so that items of classes that no model was trained on keep the neighbours they had.

    Attributes:
        space: name of the old encoder's space.
        dim: its dimension, d.
        weight: w, in [0, 1].

    Source: Ricci et al. 2026 (normalised linear interpolation, NLERP); the weight by certainty is ours.
    """

    space: str
    dim: int
    weight: float | None

    def mixed(self, view: Tensor, old: Tensor, certainty: Tensor | None) -> Tensor:
        """(N, d) of the two and (N, 1) p -> (N, d), L2-normalised; the old vector where the two cancel out."""
        weight: Tensor | float
        if self.weight is None:
            assert certainty is not None
            weight = certainty.sqrt() / (1 + certainty.sqrt())
        else:
            weight = self.weight
        old = unit(old)
        mixed = weight * unit(view) + (1 - weight) * old
        return unit(torch.where((mixed != 0).any(dim=1, keepdim=True), mixed, old))


class Network(nn.Module):
    """Items, prepared -> (N, D) L2-normalised embeddings.

    A view onto another space is a prefix of these, or one of the `maps`; one of the views may be a `blend`. Its old
    vectors are by the `old` network, or brought with the items where there is none.

    Bundles of older releases have an `old` network and no `blend`: the first `old_dim` coordinates of their
    embeddings are mixed by the classifier's certainty already.
    """

    described_head: dict[str, Any]

    def __init__(
        self, encoder: Encoder, method: str, head: nn.Module, classifier: CosineClassifier | None, old: Network | None
    ) -> None:
        super().__init__()
        self.encoder = encoder
        self.method = method
        self.head = head
        self.classifier = classifier
        self.old = old
        self.old_dim = 0
        self.map_spaces: list[str] = []
        self.maps = nn.ModuleList()
        self.blend: Blend | None = None

    def add_map(self, space: str, view_map: LinearMap) -> None:
        """Keep a map onto `space`: the model's view there. One per space."""
        self.map_spaces.append(space)
        self.maps.append(view_map)

    @property
    def maps_by_space(self) -> dict[str, LinearMap]:
        """Maps onto other spaces, in the order of the bundle. Views that are prefixes need none."""
        maps = [one for one in self.maps if isinstance(one, LinearMap)]
        return dict(zip(self.map_spaces, maps, strict=True))

    @classmethod
    def trained(cls, encoder: Encoder, name: str, method: Method) -> Network:
        """The network that remains of a method after training."""
        classifier = getattr(method, "classifier", None)
        kept = classifier if isinstance(classifier, CosineClassifier) else None
        network = cls(encoder, name, method.head, kept, None)
        network.described_head = method.describe_head()
        return network

    @classmethod
    def blended(cls, new: Network, old: Network | None, blend: Blend) -> Network:
        """`new` with a blend for its view onto `blend.space`.

        Args:
            old: makes the old vectors; None where items bring them.

        Raises:
            BadInput: the weight is by certainty, and the method has no classifier.
        """
        head, classifier, described = new.head, new.classifier, new.described_head
        if blend.weight is None:
            head, classifier = new.class_layers()
            described = {"features": head.in_features, "dim": head.out_features}
        network = cls(new.encoder, new.method, head, classifier, old)
        network.described_head, network.blend = described, blend
        for space, view_map in new.maps_by_space.items():
            network.add_map(space, view_map)
        return network

    def certainty(self, embeddings: Tensor) -> Tensor | None:
        """(N, D) -> (N, 1) probability of the classifier's first choice; None without a classifier."""
        if self.classifier is None:
            return None
        logits: Tensor = self.classifier(embeddings)
        return logits.softmax(dim=1).amax(dim=1, keepdim=True)

    def class_layers(self) -> tuple[nn.Linear, CosineClassifier]:
        """The head that finds the rows of a known class, and the classifier that says how sure it is.

        Raises:
            BadInput: the method has none.
        """
        view = METHODS[self.method].class_layers(self.head, self.classifier)
        if view is None:
            raise BadInput(
                f"method {self.method}",
                expected="a model with a cosine classifier",
                found="none",
                hint=Advice("train_with_gallery"),
            )
        return view

    @classmethod
    def build(cls, described: dict[str, Any], read: ReadFile) -> Network:
        """The network that `describe` and `files` recorded, ready for its weights.

        Args:
            described: verified to be within bounds, see `bundle/schema.py`.

        Raises:
            BadInput: an encoder that is the user's own code and was not permitted to run.
        """
        kind = ENCODERS[described["encoder"]["kind"]]
        encoder = kind.rebuilt(described["encoder"]["settings"], read)
        head = METHODS[described["method"]].build_head(described["head"])
        classifier = CosineClassifier(**described["classifier"]) if described["classifier"] else None
        old = cls.build(described["old"], lambda file: read(OLD + file)) if described["old"] else None
        network = cls(encoder, described["method"], head, classifier, old)
        network.described_head = described["head"]
        network.old_dim = described["old_dim"]
        for one in described.get("maps", []):
            network.add_map(one["space"], build_map(one))
        if described.get("blend"):
            network.blend = Blend(**described["blend"])
        return network

    def describe(self) -> dict[str, Any]:
        """JSON values from which `build` makes the same network."""
        kind = next(name for name, one in ENCODERS.items() if type(self.encoder) is one)
        classifier = None
        if self.classifier is not None:
            classes, dim = self.classifier.weight.shape
            classifier = {"dim": dim, "classes": classes, "scale": self.classifier.scale}
        maps = [{"space": space, **one.describe()} for space, one in self.maps_by_space.items()]
        described = {
            "encoder": {"kind": kind, "settings": self.encoder.described()},
            "method": self.method,
            "head": self.described_head,
            "classifier": classifier,
            "old": None if self.old is None else self.old.describe(),
            "old_dim": self.old_dim,
        }
        # Only where there is one: older releases read bundles without.
        blend = {} if self.blend is None else {"blend": asdict(self.blend)}
        return described | ({"maps": maps} if maps else {}) | blend

    def weights(self) -> bytes:
        """The weights as safetensors."""
        return tensor_bytes(self.state_dict())

    def files(self) -> dict[str, bytes]:
        """The files of the encoders, which `build` asks for."""
        old = {} if self.old is None else self.old.files()
        return {**self.encoder.files(), **{OLD + file: data for file, data in old.items()}}

    @property
    def encoders(self) -> list[Encoder]:
        """The encoders whose features `embedded` takes; not that of a blend's old network: it makes its own vectors."""
        older = [] if self.old is None or self.blend is not None else self.old.encoders
        return [self.encoder, *older]

    def prepare(self, block: ItemBlock) -> list[NDArray[Any]]:
        """A block of items as `forward` takes them."""
        return [encoder.prepare(block) for encoder in self.encoders]

    def forward(self, items: list[Tensor]) -> Tensor:
        """(N, D) embeddings of what `prepare` returned, given as tensors."""
        return self.embedded([encoder(item) for encoder, item in zip(self.encoders, items, strict=True)])

    def embedded(self, features: list[Tensor]) -> Tensor:
        """(N, D) embeddings of what the `encoders` made of N items."""
        embedding = unit(self.head(features[0]))
        sure = self.certainty(embedding) if self.old is not None and self.blend is None else None
        if self.old is None or sure is None:
            return embedding
        view, rest = embedding[:, : self.old_dim], embedding[:, self.old_dim :]
        blend = unit(sure.sqrt() * unit(view) + unit(self.old.embedded(features[1:])[:, : self.old_dim]))
        return torch.cat([view.norm(dim=1, keepdim=True) * blend, rest], dim=1)
