"""Every built-in encoder by name. To add one: its file here, and its line below."""

from skipfill.compat.encoder import Encoder
from skipfill.compat.encoders.convnet import ConvNet
from skipfill.compat.encoders.mlp import Mlp

ENCODERS: dict[str, type[Encoder]] = {"convnet": ConvNet, "mlp": Mlp}
