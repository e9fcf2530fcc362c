"""A hostile bundle is refused in one message, in bounded time and memory, and leaves nothing in the store."""

from __future__ import annotations

import dataclasses
import json
import os
import resource
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import chdir
from pathlib import Path
from typing import Annotated, Any, get_args, get_origin, get_type_hints

import numpy as np
import pytest
import torch
from safetensors.numpy import load, save

from skipfill.compat.encoders.registry import ENCODERS
from skipfill.compat.inference.bundle.schema import ClassifierDescription, NetworkDescription
from skipfill.compat.inference.bundle.view_schema import BlendDescription, MapDescription
from skipfill.compat.inference.trial import load_and_encode, try_bundle
from skipfill.compat.methods.registry import METHODS
from skipfill.compat.nn.view_maps import ResidualMap
from skipfill.compat.settings import Range
from skipfill.compat.training.blending.blend import blend_models
from skipfill.store.errors import Advice, BadInput, SkipfillError
from skipfill.store.models.cards import WEIGHTS, WITNESS, Card
from skipfill.store.models.transfer import add_bundle, export_bundle, verified_export
from skipfill.store.spaces import Space, register_space
from skipfill.store.storage.location import init_store, open_store
from tests.compat.inference.bundles import STORE, Content, forged, texts, trained, with_map, with_tokenizer, write_items
from tests.conftest import Skipfill, tree

Change = Callable[[Content, dict[str, bytes]], object]
# Of the process, libraries and all: torch and transformers alone take 400 MiB.
MOST_MEMORY, MOST_SECONDS = 1400, 60


@pytest.fixture(scope="session")
def exports(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with three honest bundles of a few kilobytes, `texts`, `vectors` and `maps`: a blend with a map."""
    folder = tmp_path_factory.mktemp("exports")
    with chdir(folder):
        objects = init_store(STORE)
        texts(folder)
        trained("mlp", np.random.default_rng(0).normal(size=(32, 8)).astype(np.float32), "v2", hidden=8)
        export_bundle(objects, "v1", Path("texts.skipfill"))
        export_bundle(objects, "v2", Path("vectors.skipfill"))
        register_space(objects, Space("old", 8))
        view_map = ResidualMap(128, 8, 4)
        view_map.weight.data = torch.randn(8, 128, generator=torch.Generator().manual_seed(0))
        with_map(objects, "m", "v2", "old", view_map)
        blend_models(objects, "b", "m", "old", 0.4)
        export_bundle(objects, "b", Path("maps.skipfill"))
    return folder


def tried_here(path: Path, card: Card) -> None:
    """A trial in this process, which takes a moment."""
    load_and_encode(path, card.fingerprint)


def setting(**values: Any) -> Change:
    return lambda card, files: card["network"]["encoder"]["settings"].update(values)


def config(**values: Any) -> Change:
    return lambda card, files: card["network"]["encoder"]["settings"]["config"].update(values)


def network(**values: Any) -> Change:
    return lambda card, files: card["network"].update(values)


def described(change: Change = lambda card, files: None, **values: Any) -> Change:
    """Also changes of the card itself."""

    def apply(card: Content, files: dict[str, bytes]) -> None:
        change(card, files)
        card.update(values)

    return apply


def tokenizer(**parts: Any) -> Change:
    return lambda card, files: with_tokenizer(card, files, **parts)


def weights(change: Callable[[dict[str, Any]], object]) -> Change:
    def apply(card: Content, files: dict[str, bytes]) -> None:
        tensors = load(files[WEIGHTS])
        change(tensors)
        files[WEIGHTS] = save(tensors)

    return apply


def first_map(**values: Any) -> Change:
    return lambda card, files: card["network"]["maps"][0].update(values)


def blend(**values: Any) -> Change:
    return lambda card, files: card["network"]["blend"].update(values)


def views(**values: Any) -> Change:
    return lambda card, files: card["views"].update(values)


def split(regex: str) -> dict[str, Any]:
    return {"type": "Split", "pattern": {"Regex": regex}, "behavior": "Isolated", "invert": False}


BT2 = {"features": 16, "old": 20_000, "new": 20_000, "extra": 8, "weight": 2.0}
GROWING = {"type": "Replace", "pattern": {"String": "e"}, "content": "e" * 200}
WORDS = {"type": "WordLevel", "vocab": {"[UNK]": 0, "a": 10**9}, "unk_token": "[UNK]"}
PANIC = tokenizer(pre_tokenizer=split("((.+)+)+[^\\s\\S]"))


def test_a_bundle_is_tried_in_bounded_time_and_memory_before_it_is_added(exports: Path, tmp_path: Path) -> None:
    change = tokenizer(normalizer={"type": "Sequence", "normalizers": [GROWING] * 5})
    bundle = forged(exports / "texts.skipfill", tmp_path / "evil.skipfill", change)
    init_store(tmp_path / "store")
    before = tree(tmp_path / "store")
    code = (
        "import json, resource, subprocess, sys; done = subprocess.run(sys.argv[1:], capture_output=True, text=True); "
        "peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss >> 10; "
        "print(json.dumps([done.returncode, done.stderr, peak]))"
    )
    command = [sys.executable, "-c", "from skipfill.cli.app import main; main()", "model", "add", str(bundle)]
    start = time.monotonic()
    done = subprocess.run(
        [sys.executable, "-c", code, *command, "--store", str(tmp_path / "store")], capture_output=True, check=True
    )
    exit_code, err, peak = json.loads(done.stdout)
    assert (exit_code, err.count("\n"), err[:7]) == (2, 1, "error: "), err
    assert "crashed, or took more memory" in err
    assert peak < MOST_MEMORY
    assert time.monotonic() - start < MOST_SECONDS
    assert tree(tmp_path / "store") == before


# Other ends of a trial: the change, and the message.
ENDS: dict[str, tuple[Change, str]] = {
    "a normaliser that aborts": (
        tokenizer(normalizer={"type": "Precompiled", "precompiled_charsmap": "/////w=="}),
        "crashed, or took more memory \\(signal SIGABRT\\)",
    ),
    "an expression that panics": (PANIC, "the tokenizer of an encoder"),
}


@pytest.mark.parametrize("case", ENDS)
@pytest.mark.usefixtures("warm_trials")
def test_a_trial_that_ends_in_native_code_is_one_message(exports: Path, tmp_path: Path, case: str) -> None:
    change, expected = ENDS[case]
    bundle = forged(exports / "texts.skipfill", tmp_path / "evil.skipfill", change)
    with pytest.raises(SkipfillError, match=expected):
        try_bundle(bundle, verified_export(bundle).card)


def test_the_limit_of_a_trial_is_on_its_own_process(exports: Path) -> None:
    limits = resource.getrlimit(resource.RLIMIT_DATA)
    load_and_encode(exports / "vectors.skipfill", verified_export(exports / "vectors.skipfill").card.fingerprint)
    assert resource.getrlimit(resource.RLIMIT_DATA) == limits


# The smallest network of each kind of harm: the bundle, the change, and the message.
REFUSED: dict[str, tuple[str, Change, str]] = {
    "200,000 layers": ("texts", config(num_hidden_layers=200_000), "num_hidden_layers: expected a number up to 256"),
    "a head of gigabytes": (
        "vectors",
        described(network(method="bt2", head=BT2, classifier=None), method="bt2", dim=20_008),
        "that its weights fit",
    ),
    "a length of a billion": (
        "texts",
        setting(max_length=10**9),
        "max_length: expected a whole number from 0 to 32768",
    ),
    "code from the hub": ("texts", config(attn_implementation="evil/kernel"), "expected eager or sdpa"),
    "a size of text": ("texts", config(hidden_size="16"), "hidden_size: expected a number, found '16'"),
    "a list of sizes": ("texts", config(vocab_size=[30]), "vocab_size: expected a plain value"),
    "a token that the model has not": ("texts", tokenizer(model=WORDS), "tokens of the model's vocabulary, below 30"),
    "padding that the model has not": ("texts", setting(pad=31), "expected a padding token of the model's vocabulary"),
    "more layers than weights": ("texts", config(num_hidden_layers=250), "of more weights than its"),
    "more places than weights": ("texts", config(max_position_embeddings=1 << 18), "that its weights fit"),
    "code by its name": ("texts", config(auto_map={"AutoModel": "evil--x.Y"}), "found 'auto_map'"),
    "a dictionary of attentions": ("texts", config(attn_implementation={"": "evil/kernel"}), "expected eager or sdpa"),
    "an attention under the library's own name": (
        "texts",
        config(_attn_implementation="evil/kernel"),
        "expected eager or sdpa",
    ),
    "experts from the hub": ("texts", config(experts_implementation="evil/kernel"), "found 'experts_implementation'"),
    "a quantisation": ("texts", config(quantization_config={"quant_method": "gptq"}), "found 'quantization_config'"),
    "a key that nobody knows": ("texts", config(run="x"), "keys that a config of bert has, found 'run'"),
    "a type that nobody knows": ("texts", config(model_type="evil"), "expected a known type of model"),
    "a type that loads by name": ("texts", config(model_type="timm_wrapper"), "expected a known type of model"),
    "a path for a word": ("texts", config(hidden_act="../evil"), "hidden_act: expected one word"),
    "a pooling that nobody knows": ("texts", setting(pooling="evil"), "expected a known pooling"),
    "a prefix of a megabyte": ("texts", setting(prefix="x" * 1_000_000), "a prefix of at most 4,096 characters"),
    "an encoder of images without a size": (
        "texts",
        setting(takes="image", mean=[0.0], std=[1.0], channels=1),
        "expected a height and a width",
    ),
    "a tokenizer of another form": (
        "texts",
        tokenizer(model={"type": "evil"}),
        "expected a tokenizer that the library can make",
    ),
    "an unknown word without a token": (
        "texts",
        tokenizer(model={**WORDS, "unk_token": "[NONE]"}),
        "expected texts that the tokenizer takes",
    ),
    "a setting that nobody knows": ("vectors", setting(run="x"), "found 'run'"),
    "a part that nobody knows": ("vectors", network(run="x"), "found 'run'"),
    "a head of another method": ("vectors", network(head=BT2), "head: expected a key 'dim', found none"),
    "a layer too wide": ("vectors", setting(hidden=10**9), "hidden: expected a whole number from 1 to 65536"),
    "a layer wider than its weights": ("vectors", setting(hidden=9), "float32 [9], found float32 [8]"),
    "classes without end": (
        "vectors",
        network(classifier={"dim": 8, "classes": 10**9, "scale": 16.0}),
        "classes: expected a whole number from 1",
    ),
    "blends without end": (
        "vectors",
        lambda card, files: card.update(network=nested(card["network"], 9)),
        "expected at most 8 networks in a blend",
    ),
    "a weight too many": (
        "vectors",
        weights(lambda tensors: tensors.update(more=np.zeros(2, np.float32))),
        "more: expected a network that its weights fit: none, found float32 [2]",
    ),
    "a weight too few": ("vectors", weights(lambda tensors: tensors.pop("head.bias")), "float32 [128], found none"),
    "weights of another type": (
        "vectors",
        weights(lambda tensors: tensors.update({"head.bias": np.zeros(128, np.float64)})),
        "float32 [128], found float64 [128]",
    ),
    "a dimension of a billion": ("vectors", described(dim=10**9), "dim: expected 128, by its network"),
    "a dimension that its network has not": ("vectors", described(dim=129), "dim: expected 128, by its network"),
    "a method that nobody knows": (
        "vectors",
        described(method="nope"),
        "method: expected 'independent', by its network",
    ),
    "a method of another": ("vectors", described(method="gallery"), "method: expected 'independent', by its network"),
    "fewer items than none": ("vectors", described(trained_items=-1), "trained_items: expected a whole number from 0"),
    "more items than there are": ("vectors", described(trained_items=10**30), "trained_items: expected a whole number"),
    "a slot below the first": ("vectors", described(slots={"a": -1}), "slots: expected a whole number from 0"),
    "a label of a megabyte": ("vectors", described(trained_labels=["x" * 1_000_000]), "labels of at most 4,096 bytes"),
    "a class of a megabyte": ("vectors", described(classes=["x" * 1_000_000]), "labels of at most 4,096 bytes"),
    "a gallery of another form": ("vectors", described(gallery={"run": 1}), "gallery: expected a key 'name'"),
    "a gallery that is no name": (
        "vectors",
        described(gallery={"name": "x; y", "version": 1, "space": "v1", "rows": 1}),
        "gallery name: expected 1-64 letters",
    ),
    "a gallery of too many rows": (
        "vectors",
        described(gallery={"name": "x", "version": 1, "space": "v1", "rows": 10**30}),
        "rows: expected a whole number",
    ),
    "a map of more coordinates": ("maps", first_map(dim_in=129), "expected a map of 128 coordinates"),
    "a map of a billion": ("maps", first_map(hidden=10**9), "hidden: expected a whole number from 0 to 65536"),
    "a map wider than its weights": ("maps", first_map(hidden=5), "found float32 [4"),
    "a linear map with a network": ("maps", first_map(kind="linear"), "expected a hidden layer in a residual map"),
    "a map that nobody knows": ("maps", first_map(kind="evil"), "kind: expected"),
    "a map onto no name": ("maps", first_map(space="../x"), "expected 1-64 letters"),
    "a map without a view": ("maps", first_map(space="other"), "view onto other: expected residual 8, found none"),
    "more maps than spaces": (
        "maps",
        lambda card, files: card["network"]["maps"].extend(card["network"]["maps"]),
        "expected at most 256 maps, one a space",
    ),
    "weights without their map": ("maps", network(maps=[]), "a network that its weights fit: none"),
    "a view without a blend": ("maps", network(blend=None), "method: expected 'independent', by its network"),
    "a view of another kind": ("maps", views(old={"dim": 8, "kind": "linear"}), "expected blend 8, found linear 8"),
    "a view that hides a map": ("maps", views(old={"dim": 8, "kind": "prefix"}), "expected blend 8, found none 0"),
    "a view of another dimension": ("maps", views(old={"dim": 9, "kind": "blend"}), "expected blend 8, found blend 9"),
    "a blend of another dimension": ("maps", blend(dim=9), "expected 9 coordinates on both sides, found 8 of the view"),
    "a weight above 1": ("maps", blend(weight=1.5), "weight: expected a number from 0 to 1, found 1.5"),
    "a weight below 0": ("maps", blend(weight=-0.1), "weight: expected a number from 0 to 1, found -0.1"),
    "a map of NaN": (
        "maps",
        weights(lambda tensors: tensors["maps.0.weight"].fill(np.nan)),
        "expected a map onto space old that gives finite vectors",
    ),
    "a map that overflows": (
        "maps",
        weights(lambda tensors: tensors["maps.0.weight"].fill(3e38)),
        "expected a map onto space old that gives finite vectors",
    ),
    "nothing": ("texts", lambda card, files: None, ""),
    "nothing of maps": ("maps", lambda card, files: None, ""),
}


def nested(described: Content, depth: int) -> Content:
    return {**described, "old": nested(described, depth - 1) if depth else None}


@pytest.mark.parametrize("case", REFUSED)
def test_what_a_bundle_asks_for_is_closed_and_bounded(exports: Path, tmp_path: Path, case: str) -> None:
    """As a trial finds it, in this process and without its limits."""
    base, change, expected = REFUSED[case]
    bundle = forged(exports / f"{base}.skipfill", tmp_path / "evil.skipfill", change)
    fingerprint = verified_export(bundle).card.fingerprint
    if not expected:
        load_and_encode(bundle, fingerprint)
        return
    with pytest.raises(SkipfillError) as refused:
        load_and_encode(bundle, fingerprint)
    assert expected in str(refused.value)


def test_a_trial_that_takes_too_long_ends(exports: Path) -> None:
    bundle = exports / "texts.skipfill"
    with pytest.raises(BadInput, match=r"in 1 s, .* found one that takes longer"):
        try_bundle(bundle, verified_export(bundle).card, seconds=1)


def test_a_bundle_without_a_witness_is_tried_too(exports: Path, tmp_path: Path) -> None:
    def change(card: Content, files: dict[str, bytes]) -> None:
        del files[WITNESS]
        with_tokenizer(card, files, model=WORDS)

    bundle = forged(exports / "texts.skipfill", tmp_path / "evil.skipfill", change)
    with pytest.raises(SkipfillError, match="tokens of the model's vocabulary"):
        tried_here(bundle, verified_export(bundle).card)


def test_a_bundle_that_was_exchanged_is_not_tried(exports: Path) -> None:
    with pytest.raises(BadInput, match="expected the bundle that was verified, found another"):
        load_and_encode(exports / "vectors.skipfill", verified_export(exports / "texts.skipfill").card.fingerprint)


def test_the_advice_of_a_trial_arrives_whatever_a_library_prints(
    exports: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "transformers").mkdir()
    code = "import os; os.write(1, b'half a line'); raise ImportError('none here')"
    (tmp_path / "transformers" / "__init__.py").write_text(code)
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(tmp_path), *sys.path]))
    bundle = exports / "texts.skipfill"
    with pytest.raises(SkipfillError, match="expected the transformers library") as refused:
        try_bundle(bundle, verified_export(bundle).card)
    hint = refused.value.hint
    assert isinstance(hint, Advice)
    assert (hint.key, hint.values) == ("install", {"extra": "hf"})


# A model that is in the store already


def test_a_panic_at_an_item_is_one_message(skipfill: Skipfill, tmp_path: Path) -> None:
    """Of a text that no trial could know."""
    init_store(STORE)
    texts(tmp_path)
    bundle = Path("v1.skipfill")
    export_bundle(open_store(STORE), "v1", bundle)
    forged(bundle, Path("evil.skipfill"), lambda card, files: split_where_it_panics(card, files))
    add_bundle(open_store(STORE), Path("evil.skipfill"), "v2", trial=tried_here)
    write_items(["a" * 40 + "!"], "panic.parquet")
    assert (
        "the tokenizer of an encoder hf: expected"
        in skipfill("encode", "v2", "panic.parquet", "-o", "x.parquet", expect=2).err
    )


def split_where_it_panics(card: Content, files: dict[str, bytes]) -> None:
    """Split after runs of `a`, which the library's expressions find in exponential time; the witness has none."""
    pre_tokenizers = [split(""), split("((a+)+)+$")]
    with_tokenizer(card, files, pre_tokenizer={"type": "Sequence", "pretokenizers": pre_tokenizers[::-1]})


# The schema itself


def test_every_number_of_a_bundle_has_a_range() -> None:
    """Whole numbers decide sizes. A new setting without a largest value would be a door left open."""
    types: set[type[Any]] = {NetworkDescription, ClassifierDescription, MapDescription, BlendDescription}
    types |= {encoder.settings_type for encoder in ENCODERS.values()}
    types |= {method.head_shape({"view": 4}) for method in METHODS.values()}
    for kind in types:
        hints = get_type_hints(kind, include_extras=True)
        for field in dataclasses.fields(kind):
            hint = hints[field.name]
            kinds = get_args(hint) if get_origin(hint) is Annotated else (hint,)
            if kinds[0] is int:
                limits = [note for note in kinds if isinstance(note, Range)]
                assert limits, f"{kind.__module__}, {field.name}"
                assert limits[0].high < 1 << 25, f"{kind.__module__}, {field.name}"


@pytest.mark.parametrize("name", METHODS)
def test_a_skeleton_has_the_weights_of_the_head(name: str) -> None:
    """Else an honest bundle would be refused, or a hostile one built."""
    shapes = {"features": 12, "dim": 8, "view": 5, "old": 5, "new": 6, "extra": 2, "classes": 3, "rows": 2, "items": 2}
    shapes |= {"scale": 1.0, "strength": 1.0, "weight": 1.0, "within_class": True}
    kind = METHODS[name].head_shape({"view": 5} if name == "gallery" else {})
    described = {field.name: shapes[field.name] for field in dataclasses.fields(kind)}
    with torch.device("meta"):
        skeleton = METHODS[name].build_head(described).state_dict()
    head = METHODS[name].build_head(described).state_dict()
    assert {key: (one.shape, one.dtype) for key, one in skeleton.items()} == {
        key: (one.shape, one.dtype) for key, one in head.items()
    }
