"""Hostile bundles: what a card, a header of weights, a config or a tokenizer may ask for, tried as `model add` does.

Every attempt is a process of its own with the limits of a trial, forked so that the libraries are there already.
"""

from __future__ import annotations

import atexit
import copy
import io
import json
import os
import resource
import shutil
import signal
import tempfile
from collections.abc import Callable
from contextlib import chdir, redirect_stderr, redirect_stdout, suppress
from dataclasses import asdict, dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import safetensors.torch
import torch
from hypothesis import strategies as st

from skipfill.compat.encoders.hf.config import IMAGES, TEXTS, declared_keys
from skipfill.compat.inference.bundle.schema import at_most, refuse_description
from skipfill.compat.inference.network import Network
from skipfill.compat.inference.trial import MEMORY, SECONDS, limit_memory, load_and_encode
from skipfill.store.errors import SkipfillError
from skipfill.store.models.cards import WEIGHTS
from skipfill.store.models.transfer import export_bundle, verified_export
from skipfill.store.storage.location import init_store, open_store
from tests.compat.encoders.samples import drawings, resnet
from tests.compat.inference.bundles import STORE, Content, forged, texts, trained, with_tokenizer

os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")  # the processes are forked

OVERHEAD = 256 << 20  # of a process beside what its limit counts: pages of libraries that it touches
MOST_FITTING = 1 << 26
# Of native code that crashes, or takes too long; a trial makes one message of each.
ENDINGS = (signal.SIGABRT, signal.SIGSEGV, signal.SIGFPE, signal.SIGALRM)
NUMBERS = st.sampled_from(
    [
        0,
        1,
        2,
        3,
        7,
        64,
        255,
        256,
        257,
        1000,
        2048,
        4096,
        32768,
        65536,
        10**6,
        1 << 20,
        10**9,
        2**31,
        2**63,
        10**30,
        -1,
        -2,
        -(2**31),
        0.0,
        0.5,
        1e-30,
        1000000000.0,
        1e38,
        1e308,
    ]
)
WORDS = st.sampled_from(
    ["evil/kernel", "flash_attention_2", "sdpa", "eager", "gelu", "../x", "auto", "", "x" * 100, "relative_key", "16"]
)
KEYS = st.sampled_from(
    [
        "attn_implementation",
        "_attn_implementation",
        "auto_map",
        "quantization_config",
        "dtype",
        "use_kernels",
        "experts_implementation",
        "trust_remote_code",
        "rope_parameters",
        "layer_types",
        "text_config",
        "is_decoder",
    ]
)


@st.composite
def asked_for(draw: Any, document: Any, others: st.SearchStrategy[Any] = st.nothing()) -> Any:
    """The JSON value with some numbers, words or keys replaced, to ask for more or for something else."""
    value = copy.deepcopy(document)
    for _ in range(draw(st.integers(1, 4))):
        holders = [one for one in _holders(value) if one]
        if not holders:
            break
        holder = draw(st.sampled_from(holders))
        key = draw(st.sampled_from(list(holder) if isinstance(holder, dict) else range(len(holder))))
        act = draw(st.sampled_from(["number", "number", "number", "word", "list", "drop", "key", "other"]))
        if act == "number":
            holder[key] = draw(NUMBERS)
        elif act == "word":
            holder[key] = draw(WORDS)
        elif act == "list":
            holder[key] = [draw(NUMBERS)] * draw(st.sampled_from([0, 1, 4, 64, 600]))
        elif act == "drop":
            del holder[key]
        elif act == "other":
            holder[key] = draw(others | st.none() | st.booleans())
        elif isinstance(holder, dict):
            holder[draw(KEYS)] = draw(WORDS | NUMBERS | st.just({"x": "evil/kernel"}))
    return value


def _holders(value: Any) -> list[Any]:
    inner = list(value.values()) if isinstance(value, dict) else value if isinstance(value, list) else []
    return ([value] if isinstance(value, dict | list) else []) + [one for part in inner for one in _holders(part)]


def _part(**kind: Any) -> Any:
    return kind


REGEXES = st.sampled_from(
    ["((.+)+)+[^\\s\\S]", "", ".", "(a|a)*b", "(?<=a)b", "\\p{L}+|\\s+", "(", "x{99999}", "a{1,9}{1,9}"]
)
NORMALIZERS = st.one_of(
    st.sampled_from([_part(type=name) for name in ("NFC", "NFKD", "Lowercase", "StripAccents", "Nmt", "ByteLevel")]),
    st.builds(
        lambda text, often: _part(type="Replace", pattern={"String": text}, content=text * often),
        st.sampled_from(["e", " ", ""]),
        st.sampled_from([0, 2, 200, 100_000]),
    ),
    st.builds(lambda regex: _part(type="Replace", pattern={"Regex": regex}, content="x"), REGEXES),
    st.builds(
        lambda data: _part(type="Precompiled", precompiled_charsmap=data),
        st.sampled_from(["", "/////w==", "BAAAAP////8="]),
    ),
    st.builds(lambda often: _part(type="Prepend", prepend="é" * often), st.sampled_from([0, 1, 10**6])),
)
PRE_TOKENIZERS = st.one_of(
    st.builds(
        lambda regex, how: _part(type="Split", pattern={"Regex": regex}, behavior=how, invert=False),
        REGEXES,
        st.sampled_from(["Isolated", "Removed", "MergedWithNext", "Contiguous"]),
    ),
    st.builds(lambda length: _part(type="FixedLength", length=length), st.sampled_from([0, 1, 2**63])),
    st.just(_part(type="ByteLevel", add_prefix_space=True, trim_offsets=True, use_regex=True)),
)
MODELS = st.one_of(
    st.builds(
        lambda vocab, unknown: _part(type="WordLevel", vocab=vocab, unk_token=unknown),
        st.dictionaries(
            st.sampled_from(["[UNK]", "a", "b", " ", ""]), st.sampled_from([0, 1, 29, 30, 2**31, 2**32 - 1])
        ),
        st.sampled_from(["[UNK]", "[NONE]"]),
    ),
    st.builds(
        lambda prefix: _part(
            type="BPE",
            vocab={"a": 0, "b": 1},
            merges=[["a", "b"]],
            continuing_subword_prefix=prefix,
            byte_fallback=True,
        ),
        st.sampled_from(["", "##########"]),
    ),
    st.just(_part(type="Unigram", unk_id=0, vocab=[["<unk>", 0.0], ["a", -1e308], ["", 0.0]], byte_fallback=False)),
)
PARTS: dict[str, st.SearchStrategy[Any]] = {
    "normalizer": NORMALIZERS
    | st.lists(NORMALIZERS, min_size=1, max_size=6).map(lambda parts: _part(type="Sequence", normalizers=parts)),
    "pre_tokenizer": PRE_TOKENIZERS,
    "model": MODELS,
    "post_processor": st.sampled_from(
        [
            _part(type="BertProcessing", sep=["x", 10**9], cls=["y", 2**32 - 1]),
            _part(
                type="TemplateProcessing",
                single=[{"SpecialToken": {"id": "[X]", "type_id": 0}}],
                pair=[],
                special_tokens={},
            ),
        ]
    ),
    "truncation": st.just(_part(direction="Right", max_length=2**60, strategy="LongestFirst", stride=2**59)),
    "padding": st.just(
        _part(
            strategy={"Fixed": 10**9},
            direction="Right",
            pad_to_multiple_of=None,
            pad_id=0,
            pad_type_id=0,
            pad_token="x",
        )
    ),
    "added_tokens": st.just(
        [_part(id=10**9, content="a", single_word=False, lstrip=True, rstrip=True, normalized=True, special=True)]
    ),
}


@cache
def exports() -> dict[str, Path]:
    """Honest bundles of each kind of encoder and head, made once per process."""
    folder = Path(tempfile.mkdtemp())
    atexit.register(shutil.rmtree, folder)
    frozen = open_store(Path(__file__).parents[1] / "fixtures" / "store-0.1" / "store")
    quiet = io.StringIO()
    with chdir(folder), redirect_stdout(quiet), redirect_stderr(quiet):
        objects = init_store(STORE)
        texts(folder)
        trained(f"hf:{resnet(folder)}", drawings(32), "v2")
        trained("convnet", drawings(32), "v3", channel_width=2)
        for kind, store, name in (
            *(("texts", objects, "v1"), ("images", objects, "v2"), ("drawings", objects, "v3")),
            *(("vectors", frozen, "v1"), ("against a gallery", frozen, "v2")),
        ):
            export_bundle(store, name, folder / kind)
    return {path.name: path for path in folder.iterdir() if path.is_file() and not path.suffix}


def card_of(kind: str) -> Content:
    """The card of an honest bundle, as JSON values."""
    found: Content = json.loads(json.dumps(asdict(verified_export(exports()[kind]).card)))
    return found


Change = Callable[[Content, dict[str, bytes]], object]


def cards(sample: Any, data: st.DataObject) -> None:
    """Numbers, words and keys of a card's network; its weights fit what it asks for, where that is little."""
    kind = data.draw(st.sampled_from(sorted(exports())))
    network = data.draw(asked_for(card_of(kind)["network"]))
    if not isinstance(network, dict):
        return
    with suppress(SkipfillError):
        refuse_description(network, "model x")
    attempt(sample.folder, kind, lambda card, files: card.update(network=network), fitting=data.draw(st.booleans()))


def configs(sample: Any, data: st.DataObject) -> None:
    """The config of a transformers model, of its own type or of another."""
    kind = data.draw(st.sampled_from(["texts", "images"]))
    config = card_of(kind)["network"]["encoder"]["settings"]["config"]
    if data.draw(st.booleans()):
        name = data.draw(st.sampled_from(TEXTS if kind == "texts" else IMAGES))
        # Of that type, and still small enough to be made.
        config = {"model_type": name, **{key: config[key] for key in config if key in declared_keys(name)}}
        config |= {key: value for key, value in declared_keys(name).items() if isinstance(value, list)}
        config = json.loads(json.dumps({**config, "model_type": name}))
    made = data.draw(asked_for(config))

    def change(card: Content, files: dict[str, bytes]) -> None:
        card["network"]["encoder"]["settings"]["config"] = made

    attempt(sample.folder, kind, change, fitting=data.draw(st.booleans()))


def headers(sample: Any, data: st.DataObject) -> None:
    """The header of the weights."""
    kind = data.draw(st.sampled_from(["texts", "vectors", "against a gallery"]))
    spare = st.sampled_from(["F64", "F32", "F16", "BF16", "I64", "U8", "BOOL", "F4", {}, []])

    def change(card: Content, files: dict[str, bytes]) -> None:
        length = int.from_bytes(files[WEIGHTS][:8], "little")
        header = data.draw(asked_for(json.loads(files[WEIGHTS][8 : 8 + length]), spare))
        made = json.dumps(header).encode()
        said = data.draw(st.sampled_from([len(made)] * 5 + [0, 1 << 24, 1 << 62, 2**64 - 1]))
        files[WEIGHTS] = said.to_bytes(8, "little") + made + files[WEIGHTS][8 + length :]

    attempt(sample.folder, kind, change)


def tokenizers(sample: Any, data: st.DataObject) -> None:
    """Parts of a tokenizer, or numbers and keys in it."""
    names = data.draw(st.lists(st.sampled_from(sorted(PARTS)), max_size=3, unique=True))
    parts = {name: data.draw(PARTS[name]) for name in names}

    def change(card: Content, files: dict[str, bytes]) -> None:
        if parts:
            with_tokenizer(card, files, **parts)
        else:
            made = data.draw(asked_for(json.loads(files["tokenizer.json"])))
            with_tokenizer(card, files, **(made if isinstance(made, dict) else {}))

    attempt(sample.folder, "texts", change)


@dataclass(frozen=True)
class Outcome:
    """The end of an attempt.

    Attributes:
        code: exit code, or the signal below zero.
        said: the message of the refusal, or of an error that is no refusal.
        memory: bytes at its peak.
    """

    code: int
    said: str
    memory: int


def attempt(folder: Path, kind: str, change: Change, *, fitting: bool = False) -> None:
    """Forge a bundle and try it in a process with the limits of a trial.

    Args:
        fitting: whether the weights are made anew, zeros of the shapes that the card asks for, if they are small.

    Raises:
        AssertionError: it took more than a trial may, or ended with an error that is no refusal.
    """
    path = forged(exports()[kind], folder / "hostile.skipfill", change)
    if fitting:
        forged(path, path, _with_fitting_weights)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss << 10
    outcome = in_a_child(path)
    assert outcome.memory <= before + MEMORY + 2 * path.stat().st_size + OVERHEAD, outcome
    assert outcome.code in (0, 2) or -outcome.code in ENDINGS, outcome


def in_a_child(path: Path) -> Outcome:
    """Try the bundle in a fork of this process. Native code may abort; all else must end in a refusal."""
    reader, writer = os.pipe()
    child = os.fork()
    if not child:
        code, said = 70, ""
        try:
            os.dup2(os.open(os.devnull, os.O_WRONLY), 2)
            for number in ENDINGS:  # a fuzzer has handlers of its own
                signal.signal(number, signal.SIG_DFL)
            signal.alarm(SECONDS)
            limit_memory(path)
            load_and_encode(path, verified_export(path).card.fingerprint)
            code = 0
        except (SkipfillError, MemoryError) as error:
            code, said = 2, str(error)
        except BaseException as error:
            said = f"{type(error).__name__}: {error}"
        os.write(writer, said.encode("utf-8", "replace")[:4000])
        os._exit(code)
    os.close(writer)
    _, status, usage = os.wait4(child, 0)
    with os.fdopen(reader, "rb") as told:
        said = told.read().decode()
    return Outcome(os.waitstatus_to_exitcode(status), said, usage.ru_maxrss << 10)


def _with_fitting_weights(card: Content, files: dict[str, bytes]) -> None:
    try:
        refuse_description(card["network"], "model x")
        with at_most(2000), torch.device("meta"):
            shapes = Network.build(card["network"], files.__getitem__).state_dict()
    except Exception:  # it is refused as it is
        return
    if sum(one.nbytes for one in shapes.values()) <= MOST_FITTING:
        zeros = {name: torch.from_numpy(np.zeros(one.shape, np.float32)).to(one.dtype) for name, one in shapes.items()}
        files[WEIGHTS] = safetensors.torch.save(zeros)


BUNDLES = {
    "bundles: cards": cards,
    "bundles: headers of weights": headers,
    "bundles: configs": configs,
    "bundles: tokenizers": tokenizers,
}
