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
    "see_methods": "See: skipfill methods",
    "choose_method": "Choose another method: skipfill methods",
    "settings_example": "For example: --set oca.extra_dims=64",
    "name_gallery": "Add --gallery NAME. See: skipfill gallery list",
    "train_teacher": "Name one with --teacher MODEL. To train it: "
    "skipfill train TEACHER --method independent --items FILES",
    "teacher_dim": "Train the teacher with --dim {dim}, or give --set {method}.extra_dims=NUMBER.",
    "share_slots": "They share no space. Train one with --slots-of the other, or with slots at the other end.",
    "start_from_nothing": "Leave --init away to start from nothing.",
    "label_items": "Name the label column with --label COLUMN; unlabelled items of the gallery go to --align FILES.",
    "join_by_id": "Items and gallery are joined by id: name the id column with --id COLUMN.",
    "hold_out_fewer": "Hold out fewer with --hold-out.",
    "hold_out_share": "Hold some out with --validation SHARE.",
    "smaller_batches": "Take the same batch in smaller parts: --accumulate {accumulate}; or --batch {batch}.",
    "lower_lr": "Try a lower learning rate: --lr {lr}",
    "repeat_or_restart": "Repeat the first command to go on with it, or add --restart to drop it.",
    "restart": "Start over with --restart.",
    "name_encoder": "Name one: --encoder hf:FOLDER_OR_NAME, such as hf:sentence-transformers/all-MiniLM-L6-v2.",
    "other_input": "Name another column with --input COLUMN, or another encoder.",
    "other_features": "The model was trained on another feature column: name it with --input COLUMN.",
    "choose_pooling": "Choose a pooling yourself to leave out the rest: --set hf.pooling=mean",
    "permit_code": "If you trust it: skipfill --code python:{name} COMMAND ..., or SKIPFILL_CODE=python:{name}",
    "install": "Install it: pip install 'skipfill[{extra}]'",
    # compat/inference, compat/evaluation, compat/gate
    "train_compatible": "Train a compatible one with: skipfill train NAME --gallery GALLERY --items FILES "
    "--method gallery",
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
