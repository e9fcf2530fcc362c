"""Every method by name. To add one: its file in this folder (in `adapters/` if it is closed-form), and its line below.

Tests require the formula of a trained method (tests/compat/methods/test_method_formulas.py), and the name of any method
in cli/guide/methods.md. They fit every closed-form one; its oracle is for its author to write
(tests/compat/methods/adapters/test_maps.py).
"""

from __future__ import annotations

from skipfill.compat.methods.adapters.adapter import Adapter
from skipfill.compat.methods.adapters.auto import Auto
from skipfill.compat.methods.adapters.lambda_orthogonal import LambdaOrthogonal
from skipfill.compat.methods.adapters.low_rank import LowRank
from skipfill.compat.methods.adapters.procrustes import Procrustes
from skipfill.compat.methods.adapters.relative import Relative
from skipfill.compat.methods.adapters.residual import Residual
from skipfill.compat.methods.adapters.ridge import Ridge
from skipfill.compat.methods.bct import Bct
from skipfill.compat.methods.bt2 import Bt2
from skipfill.compat.methods.gallery.method import Gallery
from skipfill.compat.methods.hoc import Hoc
from skipfill.compat.methods.hot_refresh import HotRefresh
from skipfill.compat.methods.independent import Independent
from skipfill.compat.methods.kind import MethodKind
from skipfill.compat.methods.l2 import L2
from skipfill.compat.methods.method import Method
from skipfill.compat.methods.oca import Oca
from skipfill.compat.methods.simplex import Simplex

TRAINED: dict[str, type[Method]] = {
    "independent": Independent,
    "l2": L2,
    "hot-refresh": HotRefresh,
    "bct": Bct,
    "oca": Oca,
    "bt2": Bt2,
    "simplex": Simplex,
    "hoc": Hoc,
    "gallery": Gallery,
}
ADAPTERS: dict[str, type[Adapter]] = {
    "procrustes": Procrustes,
    "relative": Relative,
    "low-rank": LowRank,
    "ridge": Ridge,
    "lambda-orthogonal": LambdaOrthogonal,
    "residual": Residual,
    "auto": Auto,
}
"""Closed-form methods, from the simplest map to the most flexible one. Of equal maps, `auto` takes the earlier one."""
METHODS: dict[str, type[MethodKind]] = {**TRAINED, **ADAPTERS}
