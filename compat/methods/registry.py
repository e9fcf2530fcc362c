"""Every training method by name. To add one: its file here, and its line below.

Tests want its formula (tests/compat/methods/test_method_formulas.py) and its name in cli/guide/methods.md.
"""

from __future__ import annotations

from skipfill.compat.methods.bct import Bct
from skipfill.compat.methods.bt2 import Bt2
from skipfill.compat.methods.gallery.method import Gallery
from skipfill.compat.methods.hoc import Hoc
from skipfill.compat.methods.hot_refresh import HotRefresh
from skipfill.compat.methods.independent import Independent
from skipfill.compat.methods.l2 import L2
from skipfill.compat.methods.method import Method
from skipfill.compat.methods.oca import Oca
from skipfill.compat.methods.simplex import Simplex

METHODS: dict[str, type[Method]] = {
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
