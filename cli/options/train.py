"""The options of `skipfill train`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from skipfill.cli import completion
from skipfill.cli.options.pipes import corpora

DATA = "Training data"
HOW = "Method and model"
OTHERS = "From other models"
STEPS = "Steps and memory"
MACHINE = "Machine and log"

Items = Annotated[
    list[Path],
    typer.Option(
        metavar="FILE",
        help="Rows with id, label, and one of image, vector or text: Parquet, JSON lines or Arrow. Repeatable.",
        callback=corpora,
        rich_help_panel=DATA,
    ),
]
Gallery = Annotated[
    str,
    typer.Option(
        metavar="GALLERY",
        help="Stored gallery that the model's queries will search. Default: none, to train from scratch.",
        rich_help_panel=DATA,
        autocompletion=completion.galleries,
    ),
]
Align = Annotated[
    list[Path] | None,
    typer.Option(
        metavar="FILE",
        help="Sample of the gallery's items, no labels needed. It protects queries for classes that --items lacks. "
        "Repeatable. Default: none.",
        callback=corpora,
        rich_help_panel=DATA,
    ),
]
HoldOut = Annotated[
    list[Path] | None,
    typer.Option(
        metavar="FILE",
        help="Queries of the later check: training uses neither these items nor their stored rows. Repeatable. "
        "Default: none.",
        rich_help_panel=DATA,
    ),
]
Method = Annotated[
    str,
    typer.Option(
        metavar="METHOD",
        help="Training method; `skipfill methods` lists them. Default: gallery with --gallery, else independent.",
        rich_help_panel=HOW,
        autocompletion=completion.methods,
    ),
]
Epochs = Annotated[
    int,
    typer.Option(
        metavar="N",
        min=0,
        help="Passes over the items; 0: chosen by the encoder and the number of items.",
        rich_help_panel=HOW,
    ),
]
Encoder = Annotated[
    str,
    typer.Option(
        metavar="ENCODER",
        help="auto (by the items), convnet, mlp, hf:FOLDER_OR_NAME (transformers), or python:MODULE:FACTORY (your "
        "code).",
        rich_help_panel=HOW,
        autocompletion=completion.one_of("auto", "convnet", "mlp", "hf:", "python:"),
    ),
]
Dim = Annotated[
    int,
    typer.Option(
        metavar="N",
        min=0,
        help="Dimension of an independent model; 0: 32 more than the gallery's, or 128 without a gallery.",
        rich_help_panel=HOW,
    ),
]
Settings = Annotated[
    list[str] | None,
    typer.Option(
        "--set",
        metavar="X.Y=VALUE",
        help="Setting Y of method or encoder X, such as oca.extra_dims=64. Repeatable. Default: see "
        "`skipfill methods --settings`.",
        rich_help_panel=HOW,
    ),
]
Seed = Annotated[
    int,
    typer.Option(
        metavar="N",
        min=0,
        max=2**63 - 1,
        help="Seed of the random numbers: the same seed and --threads give the same weights.",
        rich_help_panel=HOW,
    ),
]
StartFrom = Annotated[
    str,
    typer.Option(
        "--init",
        metavar="MODEL",
        help="Start from this model's encoder, and from its head if it fits. Default: from scratch.",
        rich_help_panel=OTHERS,
        autocompletion=completion.models,
    ),
]
Teacher = Annotated[
    str,
    typer.Option(
        metavar="MODEL",
        help="Independent model to imitate, for methods that need one. Default: none.",
        rich_help_panel=OTHERS,
        autocompletion=completion.models,
    ),
]
SlotsOf = Annotated[
    list[str] | None,
    typer.Option(
        metavar="MODEL",
        help="Model on the same simplex: keep its class slots, and search its spaces. Repeatable. Default: none.",
        rich_help_panel=OTHERS,
        autocompletion=completion.models,
    ),
]
Batch = Annotated[
    int, typer.Option(metavar="N", min=0, help="Items in a step; 0: chosen by the encoder.", rich_help_panel=STEPS)
]
Accumulate = Annotated[
    int,
    typer.Option(metavar="N", min=1, help="Encode each batch in N parts, to use less memory.", rich_help_panel=STEPS),
]
Lr = Annotated[
    float,
    typer.Option(metavar="N", min=0, help="Peak learning rate; 0: chosen by the encoder.", rich_help_panel=STEPS),
]
WeightDecay = Annotated[float, typer.Option(metavar="N", min=0, help="Weight decay of AdamW.", rich_help_panel=STEPS)]
Validation = Annotated[
    float,
    typer.Option(
        metavar="SHARE",
        min=0,
        max=0.9,
        help="Share of the items to hold out, from 0 to 0.9. The best epoch on them is kept; with 0, the last one.",
        rich_help_panel=STEPS,
    ),
]
Patience = Annotated[
    int,
    typer.Option(
        metavar="N",
        min=0,
        help="With --validation: stop after this many epochs without a better one. 0: never.",
        rich_help_panel=STEPS,
    ),
]
DeviceName = Annotated[
    str,
    typer.Option(
        metavar="DEVICE",
        help="auto, cpu or cuda. For several GPUs: torchrun -m skipfill.cli train ...",
        rich_help_panel=MACHINE,
        autocompletion=completion.one_of("auto", "cpu", "cuda"),
    ),
]
PrecisionName = Annotated[
    str,
    typer.Option(
        metavar="TYPE",
        help="Number format in the encoder: auto, bf16 or f32.",
        rich_help_panel=MACHINE,
        autocompletion=completion.one_of("auto", "bf16", "f32"),
    ),
]
Threads = Annotated[
    int,
    typer.Option(
        metavar="N",
        min=0,
        max=1024,
        help="Threads for training on a CPU; 0: OMP_NUM_THREADS, or the fastest number, found by timing some steps.",
        rich_help_panel=MACHINE,
    ),
]
Log = Annotated[
    str,
    typer.Option(
        "--log",
        "--log-file",
        metavar="FILE",
        help="Append one line of NDJSON for each epoch; - is stdout. Under torchrun, use the name --log-file. "
        "Default: no log.",
        rich_help_panel=MACHINE,
    ),
]
Restart = Annotated[
    bool,
    typer.Option(
        "--restart", help="Drop an unfinished training of this name, and start over.", rich_help_panel=MACHINE
    ),
]
