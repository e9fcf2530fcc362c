"""Reads a transformers model from a folder or the hub when a training begins. It loads no pickle and no code."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import nn

from skipfill.compat.encoders.hf.config import kept_keys, refuse_config
from skipfill.compat.encoders.hf.library import transformers
from skipfill.store.errors import Advice, BadInput, Parameter, SkipfillError, reason
from skipfill.store.parquet.inputs import InputKind

# Entries of a config that decide no feature: names of places and releases, and those of a classifier.
_LEFT_OUT = (
    *("_name_or_path", "transformers_version", "architectures", "auto_map", "dtype", "torch_dtype"),
    *("id2label", "label2id", "problem_type"),
)
_PICKLED = ("*.bin", "*.pt", "*.pth", "*.ckpt", "*.pkl", "*.h5", "*.msgpack")
_ADAPTER = "adapter_config.json"
_POOLINGS = {"pooling_mode_cls_token": "cls", "pooling_mode_mean_tokens": "mean"}


@dataclass(frozen=True)
class TransformersSource:
    """A transformers model in a folder or on the hub.

    Attributes:
        name: the folder, or the name on the hub.
        config: of the model, as JSON values.
        trained: whether there are weights. Without them the model gets random ones.
    """

    name: str
    config: dict[str, Any]
    trained: bool

    def json(self, file: str) -> dict[str, Any] | list[Any] | None:
        """Content of another JSON file beside the config; None when there is none."""
        path = transformers().utils.cached_file(
            self.name,
            file,
            local_files_only=Path(self.name).is_dir(),
            _raise_exceptions_for_missing_entries=False,
        )
        return None if path is None else json.loads(Path(path).read_text(encoding="utf-8"))

    def model(self) -> nn.Module:
        """The model, with its weights in float32 if there are any.

        Raises:
            BadInput: the weights are pickled, cannot be read, or are of another model.
        """
        if not self.trained:
            return model_from(self.config)
        with _reading(self.name, "weights in safetensors"):
            loaded, report = transformers().AutoModel.from_pretrained(
                self.name,
                use_safetensors=True,
                local_files_only=Path(self.name).is_dir(),
                trust_remote_code=False,
                dtype="float32",
                output_loading_info=True,
            )
        missing = sorted(name for name in report["missing_keys"] if not name.startswith("pooler."))
        if missing:
            raise BadInput(
                Parameter("encoder", f"hf:{self.name}"),
                expected="weights for every layer of its config",
                found=f"none for {missing[0]}" + (f" and {len(missing) - 1} more" if missing[1:] else ""),
                hint="The weights belong to another model than config.json.",
            )
        model: nn.Module = loaded
        return model

    def takes(self, model: nn.Module) -> InputKind:
        """The kind of items that the model encodes.

        Raises:
            BadInput: neither images nor texts, or a model that does more than encode.
        """
        main_input = str(getattr(model, "main_input_name", ""))
        if main_input not in ("pixel_values", "input_ids") or self.config.get("is_encoder_decoder"):
            raise BadInput(
                Parameter("encoder", f"hf:{self.name}"),
                expected="an image model or a text encoder",
                found=f"{type(model).__name__}, a model of {main_input or 'something else'}",
            )
        return "image" if main_input == "pixel_values" else "text"

    def tokenizer(self) -> tuple[str, int, int]:
        """The tokenizer as JSON of the `tokenizers` library, its padding token, and the most tokens that it allows.

        Raises:
            BadInput: there is no tokenizer, or none that the library can run.
        """
        with _reading(self.name, "a tokenizer (tokenizer.json)"):
            loaded = transformers().AutoTokenizer.from_pretrained(
                self.name, local_files_only=Path(self.name).is_dir(), trust_remote_code=False
            )
        if not getattr(loaded, "is_fast", False):
            raise BadInput(
                Parameter("encoder", f"hf:{self.name}"), expected="a tokenizer.json", found=type(loaded).__name__
            )
        return loaded.backend_tokenizer.to_str(), loaded.pad_token_id or 0, int(loaded.model_max_length)

    def pooling(self) -> str:
        """The pooling that a sentence encoder's own files name: `mean` or `cls`; empty when they name none.

        Raises:
            BadInput: another pooling, or a further step after it.
        """
        modules = self.json("modules.json") or []
        kinds = {str(step["type"]).rsplit(".", 1)[-1] for step in modules if isinstance(step, dict)}
        config = self.json("1_Pooling/config.json")
        if not isinstance(config, dict):
            return ""
        modes = config.get("pooling_mode") or [key for key, used in config.items() if used is True and "_mode_" in key]
        modes = [_POOLINGS.get(mode, mode) for mode in ([modes] if isinstance(modes, str) else modes)]
        further = sorted(kinds - {"Transformer", "Pooling", "Normalize"})
        if len(modes) != 1 or modes[0] not in _POOLINGS.values() or further:
            raise BadInput(
                Parameter("encoder", f"hf:{self.name}"),
                expected="a sentence encoder of Transformer, Pooling (mean or cls) and Normalize",
                found=f"pooling {', '.join(modes)}" + (f" and {', '.join(further)}" if further else ""),
                hint=Advice("choose_pooling"),
            )
        return str(modes[0])


def open_transformers(name: str) -> TransformersSource:
    """Read the config of a model in a folder, or on the hub or in its cache.

    Raises:
        BadInput: transformers is not installed, there is no such model, it is an adapter of another one, or its
            weights are pickled.
    """
    library = transformers()
    folder = Path(name).expanduser()
    local = folder.is_dir()
    if not local and (name.startswith((".", "/", "~")) or name.count("/") > 1):
        raise BadInput(Parameter("encoder", f"hf:{name}"), expected="a folder with config.json", found="no such folder")
    if (folder / _ADAPTER).exists():
        raise BadInput(
            folder / _ADAPTER,
            expected="a complete model",
            found="an adapter, which names another model to load",
            hint="Merge them first with peft: model.merge_and_unload().save_pretrained(FOLDER)",
        )
    with _reading(name, "a model of transformers (config.json)"):
        config = library.AutoConfig.from_pretrained(
            str(folder) if local else name, local_files_only=local, trust_remote_code=False
        )
    plain = kept_keys({key: value for key, value in config.to_dict().items() if key not in _LEFT_OUT})
    refuse_config({**plain, "attn_implementation": config._attn_implementation}, f"encoder hf:{name}")
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
    """A model of this config, with random weights.

    Args:
        config: found to be within bounds, see `refuse_config`.

    Raises:
        BadInput: transformers is not installed, or cannot make this model.
    """
    library = transformers()
    with _reading(str(config.get("model_type")), "a kind of model that transformers knows"):
        typed = library.CONFIG_MAPPING[config["model_type"]].from_dict(config)
        model: nn.Module = library.AutoModel.from_config(typed, trust_remote_code=False, dtype="float32")
    return model


@contextmanager
def _reading(name: str, expected: str) -> Iterator[None]:
    """Turn the library's errors about missing or unreadable files into a `BadInput`."""
    try:
        yield
    except SkipfillError:
        raise
    except Exception as error:  # the library raises errors of any type for an impossible config
        raise BadInput(f"encoder hf:{name}", expected=expected, found=reason(error)) from error
