"""The network of a bundle: an encoder and a head, perhaps with a classifier, and perhaps with a whole older network."""

from __future__ import annotations

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


class Network(nn.Module):
    """Items, prepared -> (N, D) L2-normalised embeddings.

    With an `old` network, the view onto the old space (the first d coordinates) is a blend: the old embedding, plus
    the new view as far as the classifier is sure of the item,

        compat = n( sqrt(p) n(h[:d]) + f_old ),   p = max_c softmax(s cos(h, W_c)),

    so that items of classes that nobody was trained on keep the neighbours they had. The length of that part of h
    is kept, and so is h's own.
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

    def add_map(self, space: str, view_map: LinearMap) -> None:
        """Keep a map onto `space`: the model's view there. One a space."""
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
    def blended(cls, new: Network, old: Network, old_dim: int) -> Network:
        """`new`, its first `old_dim` coordinates blended with those of `old`."""
        head, classifier = new.class_layers()
        network = cls(new.encoder, new.method, head, classifier, old)
        network.described_head = {"features": head.in_features, "dim": head.out_features}
        network.old_dim = old_dim
        return network

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
        """The network that `describe` and `files` told of, ready for its weights.

        Args:
            described: found to be within bounds, see `bundle_schema`.

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
        return described | ({"maps": maps} if maps else {})

    def weights(self) -> bytes:
        """The weights as safetensors."""
        return tensor_bytes(self.state_dict())

    def files(self) -> dict[str, bytes]:
        """The files of the encoders, which `build` asks for."""
        old = {} if self.old is None else self.old.files()
        return {**self.encoder.files(), **{OLD + file: data for file, data in old.items()}}

    def prepare(self, block: ItemBlock) -> list[NDArray[Any]]:
        """A block of items as each of its encoders takes them."""
        return [self.encoder.prepare(block), *([] if self.old is None else self.old.prepare(block))]

    def forward(self, items: list[Tensor]) -> Tensor:
        """(N, D) embeddings of what `prepare` returned, given as tensors."""
        embedding = unit(self.head(self.encoder(items[0])))
        if self.old is None or self.classifier is None:
            return embedding
        sure = self.classifier(embedding).softmax(dim=1).amax(dim=1, keepdim=True)
        view, rest = embedding[:, : self.old_dim], embedding[:, self.old_dim :]
        blend = unit(sure.sqrt() * unit(view) + unit(self.old(items[1:])[:, : self.old_dim]))
        return torch.cat([view.norm(dim=1, keepdim=True) * blend, rest], dim=1)
