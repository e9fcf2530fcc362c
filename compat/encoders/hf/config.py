"""Schema of the config of a transformers model: known types, known keys, and values within bounds.

A config comes from a folder, the hub or a bundle, and transformers does what it says. It builds any number of layers,
and for an attention that it does not know, it fetches and runs code. So only what this schema knows reaches it.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from functools import cache
from typing import Any

from skipfill.compat.encoders.hf.library import transformers
from skipfill.compat.settings import WIDEST
from skipfill.store.errors import BadInput, unknown_name

MOST_TOKENS, MOST_WORDS, MOST_LAYERS, MOST_CHANNELS, LARGEST_SIDE = 1 << 15, 1 << 20, 256, 4, 2048
TEXTS = (
    *("albert", "bert", "camembert", "convbert", "data2vec-text", "deberta", "deberta-v2", "distilbert", "electra"),
    *("ernie", "esm", "eurobert", "gemma3_text", "gte", "jina_embeddings_v3", "llama", "mistral", "mobilebert"),
    *("modernbert", "mpnet", "nomic_bert", "qwen2", "qwen3", "rembert", "roberta", "roberta-prelayernorm"),
    *("squeezebert", "xlm-roberta", "xlm-roberta-xl", "xmod"),
)
IMAGES = (
    *("beit", "bit", "clip_vision_model", "convnext", "convnextv2", "cvt", "data2vec-vision", "deit", "dinov2"),
    *("dinov2_with_registers", "dinov3_convnext", "dinov3_vit", "efficientnet", "focalnet", "hiera", "ijepa", "levit"),
    *("mobilenet_v1", "mobilenet_v2", "mobilevit", "mobilevitv2", "poolformer", "pvt", "pvt_v2", "regnet", "resnet"),
    *("segformer", "siglip_vision_model", "swiftformer", "swin", "swinv2", "vit", "vit_mae", "vit_msn"),
)
ATTENTIONS = ("eager", "sdpa", None)
_ATTENTION = ("attn_implementation", "_attn_implementation")
# Keys of older releases of the library. They have no effect now.
_OLDER = (
    *("directionality", "gradient_checkpointing", "position_embedding_type", "pooler_fc_size", "pooler_type"),
    *("pooler_num_attention_heads", "pooler_num_fc_layers", "pooler_size_per_head", "classifier_dropout", "use_cache"),
    *("is_decoder", "add_cross_attention", "layer_norm_epsilon", "attention_window", "tie_weights_", "use_bfloat16"),
)
# Keys of the library's own configs that are never accepted: they name a place or code, or hold a further config.
_NEVER = ("_name_or_path", "auto_map", "architectures", "dtype", "esmfold_config", "quantization_config")
_WORD = re.compile(r"[A-Za-z0-9_.+|-]{0,64}")
_LAYERS = re.compile("layers|depth|blocks|stages|repeats|groups|iterations")
_LENGTHS = re.compile("position|length|_len$|landmarks|sliding")
_IDS = re.compile("vocab|token")
_PLACES = re.compile("image|window|patch|kernel|stride|padding|dilation")
_DEEPEST, _MOST_ENTRIES = 4, 512


def refuse_config(config: Mapping[str, Any], where: str) -> None:
    """Raise `BadInput` for a config of an unknown type, with an unknown key, or with a value out of bounds.

    Args:
        where: the model, for messages.
    """
    kind = config.get("model_type")
    if not isinstance(kind, str) or kind not in (*TEXTS, *IMAGES):
        raise unknown_name("type of model", str(kind)[:80], (*TEXTS, *IMAGES), where=where)
    declared = declared_keys(kind)
    for key, value in config.items():
        if key in _ATTENTION:
            if value not in ATTENTIONS:
                raise BadInput(f"{where}, {key}", expected="eager or sdpa", found=ascii(value)[:80])
        elif key not in declared:
            raise BadInput(where, expected=f"keys that a config of {kind} has", found=ascii(key)[:80])
        elif key != "model_type":
            _refuse_value(key, value, declared[key], f"{where}, {key}")


def kept_keys(config: Mapping[str, Any]) -> dict[str, Any]:
    """The entries of a config that its type declares, now or in older releases. The others decide no feature."""
    kind = config.get("model_type")
    known = declared_keys(kind) if kind in (*TEXTS, *IMAGES) else config
    return {key: value for key, value in config.items() if key in known or key in _ATTENTION}


@cache
def declared_keys(kind: str) -> dict[str, Any]:
    """The keys that a config of this type may have, each with its default.

    Raises:
        BadInput: the library that is installed does not have the type.
    """
    library = transformers()
    if kind not in library.CONFIG_MAPPING:
        raise BadInput(
            "encoder hf",
            expected=f"a transformers library that has models of type {kind}",
            found=f"version {library.__version__}",
            hint="Upgrade it: pip install -U transformers",
        )
    keys = {**dict.fromkeys(_OLDER), **library.CONFIG_MAPPING[kind]().to_dict()}
    return {key: default for key, default in keys.items() if key not in _NEVER}


def _refuse_value(key: str, value: Any, default: Any, where: str, depth: int = 0) -> None:
    """Raise `BadInput` for a value of another kind than the default, or out of bounds."""
    if isinstance(value, list | dict):
        entries = list(value) if isinstance(value, list) else [*value, *value.values()]
        one_number = isinstance(default, int | float) and not (_PLACES.search(key) or key == "eos_token_id")
        plain = (
            isinstance(default, str) or one_number or (isinstance(value, dict) and not isinstance(default, dict | None))
        )
        if depth == _DEEPEST or len(entries) > _MOST_ENTRIES or plain:
            raise BadInput(where, expected="a plain value, or a short list", found=f"{len(entries)} entries")
        for one in entries:
            _refuse_value(key, one, None, where, depth + 1)
    elif isinstance(value, str):
        if not isinstance(default, str | None) or not _WORD.fullmatch(value):
            raise BadInput(where, expected=_kind(default), found=ascii(value)[:80])
    elif isinstance(value, bool) or value is None:
        if isinstance(value, bool) and not isinstance(default, bool | None):
            raise BadInput(where, expected=_kind(default), found=str(value).lower())
    elif isinstance(default, str | bool) or not math.isfinite(value) or abs(value) > most_of(key):
        expected = _kind(default) if isinstance(default, str | bool) else f"a number up to {most_of(key)}"
        raise BadInput(where, expected=expected, found=str(value)[:40])


def most_of(key: str) -> int:
    """The largest number that a config may have under this key."""
    if _LAYERS.search(key):
        return MOST_LAYERS
    if _LENGTHS.search(key):
        return 1 << 18  # what the model could read; the encoder's own settings bound what it does read
    if _PLACES.search(key):
        return LARGEST_SIDE
    return 1 << 24 if key == "rope_parameters" else MOST_WORDS if _IDS.search(key) else WIDEST


def _kind(default: Any) -> str:
    kinds = {bool: "true or false", str: "one word"}
    return kinds.get(type(default), "a word" if default is None else "a number")
