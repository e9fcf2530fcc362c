"""Documents of commands that run models. Their parts are defined where torch is loaded, so they stand apart."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Any

from skipfill.cli.documents.models import ModelDocument
from skipfill.compat.advice.advise import Advised
from skipfill.compat.advice.decision import Outcome
from skipfill.compat.export.verify import Verified
from skipfill.compat.reranking.fill import Filled
from skipfill.compat.training.blending.weight import Measured


@dataclass(frozen=True)
class AdviceDocument:
    """A recommendation, and the table that it rests on.

    Attributes:
        advice: the table, the recommendation and its reason.
        outcome: that of the advice.
    """

    advice: Annotated[dict[str, Any], Advised]
    outcome: Outcome


@dataclass(frozen=True)
class BlendDocument(ModelDocument):
    """A model that mixes the query vectors of two models.

    Attributes:
        grid: every weight of every model that the items tried; empty without items.
        warnings: sentences on the queries that chose, and on what later queries need.
    """

    grid: list[Measured]
    warnings: list[str]


@dataclass(frozen=True, kw_only=True)
class FilledOverlayDocument(Filled):
    """An overlay to which vectors were added.

    Attributes:
        gallery: name of the gallery.
        model: name of the model that made the vectors.
    """

    gallery: str
    model: str


@dataclass(frozen=True)
class ExportedTensor:
    """A tensor that an exported model takes.

    Attributes:
        name: of the tensor.
        type: of its values.
        shape: its sizes; a size that may vary has a name.
    """

    name: str
    type: str
    shape: list[str | int]


@dataclass(frozen=True)
class ExportedFolderDocument:
    """A model that was written to a folder for other programs.

    Attributes:
        model: its name.
        format: of the folder.
        fingerprint: digest of everything that decides its vectors.
        space: of its vectors.
        dim: number of coordinates.
        output: path of the folder.
        bytes: size of all files.
        inputs: tensors that the model takes.
        verified: comparison with skipfill's vectors.
        check: id of the check whose figures are in the folder's README; empty where none has measured the model.
        warnings: what could not be verified.
    """

    model: str
    format: str
    fingerprint: str
    space: str
    dim: int
    output: str
    bytes: int
    inputs: list[Annotated[dict[str, Any], ExportedTensor]]
    verified: Verified
    check: str
    warnings: list[str]
