"""A training's losses as a picture."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from skipfill.store.errors import Advice, BadInput, reason

FORMATS = (".svg", ".png", ".pdf")
# Okabe and Ito's colours: eight that colour-blind people can tell apart.
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000", "#F0E442")


def draw_losses(name: str, epochs: Sequence[dict[str, Any]], best: int, output: Path) -> None:
    """Draw each loss term by epoch: in training as a line, on held-out items as a dashed line. Mark the kept epoch.

    Some terms may end before others: after the encoder is trained, further training does not have all of them.

    Args:
        epochs: the lines of the log.

    Raises:
        BadInput: the file's format cannot be drawn, or it cannot be written; or matplotlib is not installed.
    """
    if output.suffix.lower() not in FORMATS:
        raise BadInput(output, expected=f"a name that ends in {', '.join(FORMATS)}", found=output.suffix or "no ending")
    try:
        import matplotlib
        from matplotlib.figure import Figure
        from matplotlib.ticker import MaxNLocator
    except ImportError as error:
        hint = Advice("install", extra="report")
        raise BadInput("model plot", expected="matplotlib", found="none installed", hint=hint) from error
    matplotlib.rcdefaults()  # not those of a matplotlibrc in this folder, which may make it run LaTeX
    figure = Figure(figsize=(7, 4.2), layout="constrained")
    axes = figure.subplots()
    numbers = [one["epoch"] for one in epochs]
    terms = list(dict.fromkeys(term for one in epochs for term in one["losses"]))
    for term, colour in zip(terms, COLOURS * len(terms), strict=False):
        style: dict[str, Any] = {"color": colour, "marker": "o" if len(epochs) < 3 else ""}
        axes.plot(numbers, [one["losses"].get(term, math.nan) for one in epochs], label=term, **style)
        if term in epochs[-1]["validation"]:
            held_out = [one["validation"].get(term, math.nan) for one in epochs]
            axes.plot(numbers, held_out, label=f"{term}, held out", linestyle="--", **style)
    if epochs[-1]["validation"]:
        axes.axvline(best, color="0.6", linewidth=1, zorder=0, label=f"kept: epoch {best}")
    axes.set(title=f"Losses of {name}", xlabel="epoch", ylabel="loss, weights applied", xlim=(numbers[0], None))
    axes.set_ylim(bottom=0)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(axis="y", color="0.9")
    figure.legend(loc="outside right upper", frameon=False)
    try:
        figure.savefig(output, dpi=150)
    except OSError as error:
        raise BadInput(output, expected="a file that can be written to", found=reason(error)) from error
