"""Every encoder by name. To add one: its file here, and its line below."""

from __future__ import annotations

from skipfill.compat.encoders.convnet import ConvNet
from skipfill.compat.encoders.encoder import Encoder
from skipfill.compat.encoders.hf.encoder import Hf
from skipfill.compat.encoders.mlp import Mlp
from skipfill.compat.encoders.python import Python
from skipfill.compat.encoders.vectors import Vectors

ENCODERS: dict[str, type[Encoder]] = {"convnet": ConvNet, "mlp": Mlp, "vectors": Vectors, "hf": Hf, "python": Python}
