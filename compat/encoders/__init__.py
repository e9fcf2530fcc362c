"""Every encoder by name. To add one: its file here, and its line below."""

from skipfill.compat.encoder import Encoder
from skipfill.compat.encoders.convnet import ConvNet
from skipfill.compat.encoders.hf import Hf
from skipfill.compat.encoders.mlp import Mlp
from skipfill.compat.encoders.python import Python

ENCODERS: dict[str, type[Encoder]] = {"convnet": ConvNet, "mlp": Mlp, "hf": Hf, "python": Python}
