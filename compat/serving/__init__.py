"""The Python interface of services: `released` loads what queries of a gallery use now, as a `Served`."""

from skipfill.compat.serving.answers import Answers, Find
from skipfill.compat.serving.released import released
from skipfill.compat.serving.served import Served

__all__ = ["Answers", "Find", "Served", "released"]
