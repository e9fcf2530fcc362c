"""A transformers model as its folder or hub page holds it: read once, when a training begins. No pickle, no code."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any

from torch import nn

from skipfill.store.errors import Advice, BadInput, Parameter, reason

# What names a place or a release, or is of no use without a classifier: it decides no feature.
_NO_PART = (
    *("_name_or_path", "transformers_version", "architectures", "auto_map", "dtype", "torch_dtype"),
    *("id2label", "label2id", "problem_type"),
)
_PICKLED = ("*.bin", "*.pt", "*.pth", "*.ckpt", "*.pkl", "*.h5", "*.msgpack")
_POOLINGS = {"pooling_mode_cls_token": "cls", "pooling_mode_mean_tokens": "mean"}


@dataclass(frozen=True)
class TransformersSource:
    """Attributes:
    name: folder or name on the hub.
    config: of the model, as JSON values.
    trained: whether there are weights; without them, the model is made at random from its config.
    """

    name: str
    config: dict[str, Any]
    trained: bool

    def json(self, file: str) -> dict[str, Any] | list[Any] | None:
        """A further JSON file beside the config; None when there is none."""
        found = transformers().utils.cached_file(
            self.name,
            file,
            local_files_only=Path(self.name).is_dir(),
            _raise_exceptions_for_missing_entries=False,
        )
        return None if found is None else json.loads(Path(found).read_text(encoding="utf-8"))

    def model(self) -> nn.Module:
        """The model, with its weights in float32 if there are any.

        Raises:
            BadInput: the weights are pickled, cannot be read, or are of another model.
        """
        if not self.trained:
            return model_from(self.config)
        with _reading(self.name, "weights in safetensors"):
            found, loading = transformers().AutoModel.from_pretrained(
                self.name,
                use_safetensors=True,
                local_files_only=Path(self.name).is_dir(),
                trust_remote_code=False,
                dtype="float32",
                output_loading_info=True,
            )
        missing = sorted(one for one in loading["missing_keys"] if not one.startswith("pooler."))
        if missing:
            raise BadInput(
                Parameter("encoder", f"hf:{self.name}"),
                expected="weights for every layer of its config",
                found=f"none for {missing[0]}" + (f" and {len(missing) - 1} more" if missing[1:] else ""),
                hint="The weights are of another model than config.json.",
            )
        model: nn.Module = found
        return model

    def tokenizer(self) -> tuple[str, int, int]:
        """The tokenizer as JSON of the `tokenizers` library, its padding token, and how many tokens it allows.

        Raises:
            BadInput: there is none, or none that this library runs.
        """
        with _reading(self.name, "a tokenizer (tokenizer.json)"):
            found = transformers().AutoTokenizer.from_pretrained(
                self.name, local_files_only=Path(self.name).is_dir(), trust_remote_code=False
            )
        if not getattr(found, "is_fast", False):
            raise BadInput(
                Parameter("encoder", f"hf:{self.name}"), expected="a tokenizer.json", found=type(found).__name__
            )
        return found.backend_tokenizer.to_str(), found.pad_token_id or 0, int(found.model_max_length)

    def pooling(self) -> str:
        """How a sentence encoder's own files say that token vectors become one; empty when they say nothing.

        Raises:
            BadInput: in a way that is not known here.
        """
        modules = self.json("modules.json") or []
        kinds = {str(one["type"]).rsplit(".", 1)[-1] for one in modules if isinstance(one, dict)}
        found = self.json("1_Pooling/config.json")
        if not isinstance(found, dict):
            return ""
        modes = found.get("pooling_mode") or [mode for mode, used in found.items() if used is True and "_mode_" in mode]
        modes = [_POOLINGS.get(mode, mode) for mode in ([modes] if isinstance(modes, str) else modes)]
        strange = sorted(kinds - {"Transformer", "Pooling", "Normalize"})
        if len(modes) != 1 or modes[0] not in _POOLINGS.values() or strange:
            raise BadInput(
                Parameter("encoder", f"hf:{self.name}"),
                expected="a sentence encoder of Transformer, Pooling (mean or cls) and Normalize",
                found=f"pooling {', '.join(modes)}" + (f" and {', '.join(strange)}" if strange else ""),
                hint=Advice("choose_pooling"),
            )
        return str(modes[0])


def open_transformers(name: str) -> TransformersSource:
    """Look at a folder, or at a model of this name on the hub (or in its cache).

    Raises:
        BadInput: transformers is not installed, nothing is there, or its weights are pickled.
    """
    library = transformers()
    folder = Path(name).expanduser()
    local = folder.is_dir()
    if not local and (name.startswith((".", "/", "~")) or name.count("/") > 1):
        raise BadInput(Parameter("encoder", f"hf:{name}"), expected="a folder with config.json", found="no such folder")
    with _reading(name, "a model of transformers (config.json)"):
        config = library.AutoConfig.from_pretrained(
            str(folder) if local else name, local_files_only=local, trust_remote_code=False
        )
    plain = {key: value for key, value in config.to_dict().items() if key not in _NO_PART}
    trained = not local or any(folder.glob("*.safetensors"))
    if not trained and (pickled := [path for kind in _PICKLED for path in folder.glob(kind)]):
        raise BadInput(
            pickled[0],
            expected="weights in safetensors",
            found="a format that can run code when it is read",
            hint="Write them again with safetensors: model.save_pretrained(FOLDER)",
        )
    return TransformersSource(str(folder) if local else name, json.loads(json.dumps(plain)), trained)


def model_from(config: dict[str, Any]) -> nn.Module:
    """A model of this config with weights at random.

    Raises:
        BadInput: transformers is not installed, or does not know this kind of model.
    """
    library = transformers()
    with _reading(str(config.get("model_type")), "a kind of model that transformers knows"):
        known = library.CONFIG_MAPPING[config["model_type"]].from_dict(config)
        model: nn.Module = library.AutoModel.from_config(known, trust_remote_code=False, dtype="float32")
    return model


def transformers() -> Any:
    """The library, imported when it is first needed: it takes seconds.

    Raises:
        BadInput: it is not installed.
    """
    try:
        library = import_module("transformers")
    except ImportError as error:
        raise BadInput(
            "encoder hf",
            expected="the transformers library",
            found=f"none that can be imported ({reason(error)})",
            hint=Advice("install", extra="hf"),
        ) from error
    library.logging.set_verbosity_error()
    library.utils.logging.disable_progress_bar()
    return library


@contextmanager
def _reading(name: str, expected: str) -> Iterator[None]:
    """Turn what the library raises about a missing or strange file into a `BadInput`."""
    try:
        yield
    except (OSError, ValueError, KeyError, ImportError) as error:
        raise BadInput(f"encoder hf:{name}", expected=expected, found=reason(error)) from error
