"""Errors in the words of the command line: flags for parameters, and the next command for each piece of advice."""

from __future__ import annotations

from skipfill.store.errors import BadInput, Hint, Parameter, SkipfillError

FLAGS = {"start_from": "--init", "settings": "--set"}
"""Flags that are not the parameter's name with dashes."""

SENTENCES = {
    # store/
    "see_models": "See: skipfill model list",
    # compat/encoders, compat/methods, compat/training
    "see_settings": "See: skipfill methods --settings",
    # compat/inference, compat/evaluation, compat/gate
    "train_compatible": "Train a compatible one with: skipfill train NAME --gallery GALLERY --items FILES "
    "--method gallery",
    "name_column": "Name the {parameter} column with {parameter:flag} COLUMN.",
    "give_them": "Give them with {parameter:flag}.",
    "slice_by_predicates": "Slice by something coarser, or by predicates with --slice.",
    "label_or_other_truth": "Name the label column with --label COLUMN, or give --judgements FILE, or --truth reindex.",
    "register_label_or_other_truth": "Register the files again: skipfill gallery add NAME FILES... --space {space} "
    "--label COLUMN; or give --judgements FILE, or --truth reindex.",
    "keep_items_out": "Keep some items out of the training: skipfill train ... --items TRAIN.parquet",
    "other_order_or_register_label": "Take the order stored or shuffled, or register the gallery with --label COLUMN.",
    "other_gallery_items": "Name other items with --gallery-items.",
    "train_slower": "Train the model again, with a lower learning rate (--lr).",
    "search_with_vectors": "Search with --vectors, or train a model and swap to it.",
    "restore_or_roll_back": "Restore models/{model}/, search with --vectors, or: skipfill rollback {gallery}",
    "roll_back": "Go back with: skipfill rollback {gallery}",
    "register_with_space": "Register the files with --space MODEL, the one that made them. Or the items are others: "
    "see --id COLUMN and --input COLUMN.",
}
"""Key of an `Advice` -> its sentence. `{name}` is completed with a value; `{name:flag}` shows it as a flag."""


class _Shown(str):
    """A value in a sentence; with `:flag`, the flag of the parameter that it names."""

    def __format__(self, how: str) -> str:
        return flag(str(self)) if how == "flag" else str(self)


def flag(parameter: str) -> str:
    """`--hold-out`, of `hold_out`."""
    return FLAGS.get(parameter, "--" + parameter.replace("_", "-"))


def message(error: SkipfillError) -> str:
    """What is wrong; a parameter that it is about by its flag."""
    where = error.where if isinstance(error, BadInput) else None
    if not isinstance(where, Parameter):
        return str(error)
    return f"{flag(where.name)} {where.value}".rstrip() + str(error).removeprefix(str(where))


def sentence(hint: Hint) -> str:
    """The next step as one sentence; empty for none."""
    if isinstance(hint, str):
        return hint
    return SENTENCES[hint.key].format_map({name: _Shown(value) for name, value in hint.values.items()})
