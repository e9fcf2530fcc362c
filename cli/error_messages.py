"""Errors in the words of the command line: flags for parameters, and the next command for each piece of advice."""

from __future__ import annotations

import shlex
from collections.abc import Mapping

from skipfill.cli.terminal.next_command import install_command, with_store
from skipfill.store.checks.reranking import ModelInWay
from skipfill.store.errors import Advice, BadInput, Hint, Parameter, SkipfillError

FLAGS = {"start_from": "--init", "settings": "--set", "slices": "--slice", "without_slices": "--without-slice"}
"""Flags that are not the parameter's name with dashes."""

SENTENCES = {
    # store/
    "see_models": "See: skipfill model list",
    "see_history": "See: skipfill history {gallery}",
    "see_doctor": "See what to do about it: skipfill doctor",
    "look_and_run_again": "See: skipfill status {gallery}; then run the same command again.",
    "roll_back_to": "Versions with other releases: {versions}. Bring one back with: "
    "skipfill rollback {gallery} --to VERSION --reason TEXT",
    "answer_rollback": "Either of two things lets the model come back. 1: A later check passes on other queries, which "
    "show the fault: skipfill check {gallery} {checked} --items HELDOUT.parquet --items INCIDENT.parquet. 2: You "
    "record a reason: skipfill swap {gallery} {model} --reason TEXT",
    "answer_rollback_too": "The same pass answers the rollback, if its queries are not those of the check that had "
    "allowed the model. If they are, give a reason as well: skipfill swap {gallery} {model} --reason TEXT",
    "answer_rollback_by_reason": "Without that report, a pass alone does not answer the rollback. Restore the report "
    "from a copy, or give a reason as well as a pass: skipfill swap {gallery} {model} --reason TEXT",
    "two": "{first}. {second}",
    "give_reason": "To bring it back anyway: skipfill rollback {gallery} --to {version} --reason TEXT. "
    "Other releases: skipfill history {gallery}",
    "export_first": "To write a bundle: skipfill model export MODEL -o FILE. To register vectors: "
    "skipfill gallery add NAME FILES --space NAME",
    "change_gallery": "If its files changed: skipfill gallery refresh {gallery}. For more rows: "
    "skipfill gallery append {gallery} FILES. To start over: "
    "skipfill gallery drop {gallery} --confirm {gallery}, then add it again.",
    "name_space_of_another_dim": "A space keeps its dimension: choose another name with --space. If the file also has "
    "other vectors, name their column with --vector COLUMN.",
    "register_another_gallery": "The gallery keeps its space and its columns: give vectors of this space, or register "
    "these as another gallery: skipfill gallery add NAME FILES --space NEW. See: skipfill gallery show {gallery}",
    "changed_while_read": "Run the same command again while nothing writes to it. To register the files of a gallery "
    "as they are now: skipfill gallery refresh GALLERY",
    "refresh_gallery": "Put the registered file back, or register the files as they are now: "
    "skipfill gallery refresh {gallery}",
    "copy_again": "Run the same command again: it reads the file itself, and makes a new copy.",
    "list_overlays": "See: skipfill overlay list",
    "show_overlay": "See: skipfill overlay show {gallery} {model}",
    "add_to_overlay": "Encode the rows again: skipfill overlay add {gallery} {model} --items FILE",
    "drop_overlay": "To remove it: skipfill overlay drop {gallery} {model}",
    "drop_and_add_overlay": "Restore it from a copy, or drop the overlay, prune, and encode its rows again: "
    "skipfill overlay drop {gallery} {model}",
    "right_store": "Is this the right store? If not, name another with --store or SKIPFILL_STORE. If it is: "
    "skipfill gallery add {gallery} FILES... --space NAME",
    "another_store": "If it is in another store, name that with --store or SKIPFILL_STORE. All galleries: "
    "skipfill gallery list",
    "make_space": "Free some disk space. These could be removed: {could_go}. Commands: "
    "skipfill prune --yes --trainings, and skipfill model drop MODEL --confirm MODEL",
    "named_store": "{source} names this store: correct that, or name another with --store. To make one there: "
    "skipfill init",
    "register_again": "See: skipfill history {gallery}. "
    "Register it again with: skipfill gallery add {gallery} FILES...",
    "register_encoded": "Register what `skipfill encode` wrote, or name another space with --space.",
    "name_space_or_append": "Name the model that made them with --space. To add rows that a later model "
    "encoded into this space: skipfill gallery append",
    "name_another_space": "Two spaces cannot share a name: give the new one another name with --space.",
    "encode_in_view": "Encode the items with {space}, or with a model that has a view onto it: "
    "skipfill encode {model} ITEMS.parquet -o FILE.parquet --onto {space}",
    "encode_again": "Encode the items with a model of this store: "
    "skipfill encode {model} ITEMS.parquet -o FILE.parquet --onto {space}",
    "remove_repeated_rows": "Remove the repeated rows from one of the files.",
    "choose_model_name": "Choose another name: models are never overwritten. See: skipfill model list",
    "check_model": "Run: skipfill check {gallery} {model} --items HELDOUT.parquet",
    "ask_rerank": "Add --rerank K, or leave this option out. See: skipfill guide reranking",
    "without_rerank": "Measure it with a check without --rerank.",
    "candidates_by_view": "Give the old model's vectors of the queries: --old-vector COLUMN. Or find the candidates "
    "with the new model's own view: --candidates view. That ranking is different, and needs its own check.",
    "check_gallery": "Run: skipfill check {gallery} MODEL --items HELDOUT.parquet",
    "fail_stands": "Three things cancel a fail. 1: A later check passes on the same queries, and has as many queries "
    "as the policy requires. 2: A later check passes on queries that the policy names: skipfill policy {gallery} "
    "--queries DIGEST. 3: The queries were wrong, and a check of other queries says why: skipfill check {gallery} "
    "{model} --items FILES --instead-of {check} --reason TEXT",
    "check_without_saving": "To measure without saving the check: --no-save. Such a check has no effect on swaps.",
    "ask_more": "Check again, with these queries and more: skipfill check {gallery} {model} --items FILES --items MORE",
    "ask_vectors_of_rows": "Some candidates had no new vector, so they kept their places. Check again, with the items "
    "of gallery rows: skipfill check {gallery} {model} --items FILES",
    "ask_proof": "Check again, with at least 32 gallery rows that have the column of old vectors: "
    "skipfill check {gallery} {model} --items FILES --items PROOF.parquet",
    "check_by_policy": "{setter}Check it under the policy, with the files and columns of {check}: "
    "skipfill check {gallery} {model} --items FILES. See: "
    "skipfill policy {gallery}",
    "fit_policy": "{setter}Check it under the policy, with the files and columns of {check}: "
    "skipfill check {gallery} {model} --items FILES. Or, if less is enough for "
    "this gallery: skipfill policy {gallery} {options}",
    "plan_again": "Plan again with: skipfill plan {gallery} {model}",
    "new_plan": "Make a new plan: skipfill plan GALLERY MODEL -o FILE",
    "declare_vectors": "Say which numbers the column holds: skipfill gallery add ... --vector-type TYPE, and --scale N "
    "for int8. Or name another column with --vector COLUMN.",
    "name_column": "Name the {parameter} column with {parameter:flag} COLUMN.",
    "name_brought_column": "Name the column with {parameter:flag} COLUMN; every file of items needs this column.",
    "name_another_output": "Choose another name with -o FILE.",
    "choose_output_folder": "Choose another place with -o FILE; nothing was written.",
    "make_store": "Make one with: skipfill init",
    "make_store_at": "Make one with: skipfill init --store {root:quoted}",
    "choose_store_folder": "Choose a folder you can write to with --store FOLDER.",
    "make_bucket": "Make the bucket first, or name another with --store.",
    "show_traceback": "SKIPFILL_DEBUG=1 shows where.",
    "look_and_repeat": "The write may or may not have arrived: see skipfill status, then run the same command again.",
    "look_at_disk": "It is written, but a crash may undo that. Check the disk, then run: skipfill doctor",
    # compat/encoders, compat/methods, compat/training
    "train_with_gallery": "Train one with --method gallery.",
    "see_settings": "See: skipfill methods --settings",
    "see_methods": "See: skipfill methods",
    "leave_out": "Leave {parameter:flag} out, or choose a method that is trained: skipfill methods",
    "encoder_at_rest": "With --encoder hf:FOLDER_OR_NAME or python:MODULE:FACTORY, name one that is trained already; "
    "or name a column with its vectors: --input COLUMN.",
    "more_pairs": "Encode more of the gallery's items with the new encoder, and give all of them with --items.",
    "more_pairs_or_auto": "Give more of the gallery's items with --items, or use --method auto, which needs fewer.",
    "label_pairs": "Name the label column of the items with --label COLUMN, or choose another method: skipfill methods",
    "choose_method": "Choose another method: skipfill methods",
    "settings_example": "For example: --set oca.extra_dims=64",
    "name_gallery": "Add --gallery NAME. See: skipfill gallery list",
    "train_teacher": "Name one with --teacher MODEL. To train it: "
    "skipfill train TEACHER --method independent --items FILES",
    "teacher_dim": "Train the teacher with --dim {dim}, or give --set {method}.extra_dims=NUMBER.",
    "share_slots": "Train one of them with --slots-of the other, or with slots from the other end of the simplex: "
    "--set METHOD.slots=back",
    "start_from_nothing": "Leave out --init to start from scratch.",
    "label_items": "Name the label column with --label COLUMN; give unlabelled gallery items with --align FILES.",
    "join_by_id": "Items and gallery are joined by id: name the id column with --id COLUMN.",
    "hold_out_fewer": "Hold out fewer with --hold-out.",
    "hold_out_share": "Hold some out with --validation SHARE.",
    "smaller_batches": "Encode the batch in parts: --accumulate {accumulate}. Or make it smaller: --batch {batch}",
    "lower_lr": "Try a lower learning rate: --lr {lr}",
    "repeat_or_restart": "Repeat the first command to resume it, or add --restart to start over.",
    "restart": "Start over with --restart.",
    "name_encoder": "Name one: --encoder hf:FOLDER_OR_NAME, such as hf:sentence-transformers/all-MiniLM-L6-v2.",
    "other_input": "Name another column with --input COLUMN, or another encoder.",
    "other_features": "Is this the right file of items? If its features are in another column, name it with "
    "--input COLUMN.",
    "choose_pooling": "To use the model without these parts, choose the pooling: --set hf.pooling=mean",
    "permit_code": "If you trust it: skipfill --code {call:quoted} COMMAND ..., or SKIPFILL_CODE={call:quoted}",
    "start_ray": "Start one with: ray start --head; or run without --engine ray. See: skipfill guide cluster",
    "install": "Install it: {extra:install}",
    # compat/advice, compat/inference, compat/evaluation, compat/gate
    "released_already": "Name other candidates with --candidate. To measure {model} with re-ranking against the "
    "release: skipfill check {gallery} {model} --rerank 10,50,200 --items HELDOUT.parquet. To see what is in use: "
    "skipfill status {gallery}",
    "train_compatible": "Train a compatible one with: skipfill train NAME --gallery GALLERY --items FILES "
    "--method gallery",
    "give_them": "Give them with {parameter:flag}.",
    "independent_ceiling": "Name an independent model with --ceiling, trained from scratch: skipfill train NAME "
    "--method independent --items FILES; or give its vectors with --truth-vector COLUMN; or give --judgements FILE.",
    "bring_old_vectors": "Give the old model's vectors of the queries and of at least 32 gallery rows: --old-vector "
    "COLUMN. Or, without judgements, use held-out rows of the gallery as queries: the gallery has their vectors. If "
    "nothing can encode queries with the old model any more, neither that model nor a blend can be used: see "
    "skipfill guide adapters",
    "policy_slice": "This slice is in the policy since {by} added it in version {version}. Give queries with its "
    "columns, or remove it: skipfill policy {gallery} --without-slice {slice:quoted}",
    "slice_expression": "If a column has this name, compare it with a value: --slice '{name} = true'.",
    "slice_by_predicates": "Slice by a column with fewer values, or by conditions with --slice.",
    "label_or_other_truth": "Name the label column with --label COLUMN, or give --judgements FILE, or --truth reindex.",
    "register_label_or_other_truth": "Register the files again: skipfill gallery add NAME FILES... --space {space} "
    "--label COLUMN; or give --judgements FILE, or --truth reindex.",
    "keep_items_out": "Keep some items out of the training: skipfill train ... --items TRAIN.parquet",
    "other_order_or_register_label": "Use order=stored or order=shuffled, or register the gallery with --label COLUMN.",
    "check_blend": "Measure it on a gallery: skipfill check GALLERY {model} --items FILES --old-vector COLUMN",
    "other_gallery_items": "Name other items with --gallery-items.",
    "train_slower": "Train the model again with a lower learning rate: --lr NUMBER",
    "bring_vectors_to_blend": "Name the column of the items that holds the old vectors: --old-vector COLUMN.",
    "bring_vectors_of_the_space": "Encode the queries with the encoder of {space}, as queries, and name that column.",
    "stay_or_give_weight": "Keep the old model, or give a weight yourself: --weight 0.4",
    "search_with_vectors": "Give the query vectors by {encoder} with --vectors FILE --vector COLUMN, or swap to a "
    "model.",
    "restore_or_roll_back": "Restore models/{model}/, search with --vectors FILE --vector COLUMN, or: "
    "skipfill rollback {gallery}",
    "roll_back": "Go back with: skipfill rollback {gallery}",
    "export_as": "Another format can hold it: skipfill model export {model} --format {format}",
    "serve_in_python": "Serve it in Python with compat.serving: skipfill guide production",
    "export_second_stage": "Export its own space, for the second stage: skipfill model export {model} --onto {model}. "
    "Serve the whole release with compat.serving: skipfill guide reranking",
    "register_with_space": "Register the files with --space MODEL, the model that encoded them. If the items do not "
    "match the rows, name other columns with --id COLUMN and --input COLUMN.",
}
"""Key of an `Advice` -> its sentence. `{name}` stands for a value. `{name:flag}` shows the value as a flag,
`{name:quoted}` quotes it for a shell, and `{name:install}` is the command that installs this extra."""


class _Shown(str):
    """A value in a sentence, which `:flag`, `:quoted` or `:install` shows as `SENTENCES` says."""

    def __format__(self, how: str) -> str:
        return {"flag": flag, "quoted": shlex.quote, "install": install_command}.get(how, str)(str(self))


def flag(parameter: str) -> str:
    """The flag of a parameter: `--hold-out` for `hold_out`."""
    return FLAGS.get(parameter, "--" + parameter.replace("_", "-"))


def message(error: SkipfillError) -> str:
    """The message of an error; a parameter in it is shown by its flag."""
    where = error.where if isinstance(error, BadInput) else None
    if not isinstance(where, Parameter):
        return str(error)
    return f"{flag(where.name)} {where.value}".rstrip() + str(error).removeprefix(str(where))


def sentence(hint: Hint) -> str:
    """The next step as one sentence; empty for none."""
    if isinstance(hint, str):
        return with_store(hint)
    values = {name: _Shown(_words(value)) for name, value in hint.values.items()}
    return with_store(SENTENCES[hint.key].format_map(values))


def _words(value: object) -> object:
    if isinstance(value, Mapping):
        return options(value)
    if isinstance(value, Advice):
        return sentence(value)
    return in_way(value) if isinstance(value, ModelInWay) else value


def in_way(of: ModelInWay) -> str:
    """The model, with the options for its way of answering queries."""
    return f"{of.model} {options(of.parameters)}".rstrip()


def options(values: Mapping[str, object]) -> str:
    """Parameters as options of a command: `--margin 0.99 --not-worse`."""
    words = []
    for name, value in values.items():
        if name == "better":
            words.append("--better" if value else "--not-worse")
        elif isinstance(value, tuple):
            words += [f"{flag(name)} {shlex.quote(str(one))}" for one in value]
        else:
            words.append(f"{flag(name)} {shlex.quote(str(value))}")
    return " ".join(words)
