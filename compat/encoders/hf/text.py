"""Texts as text encoders take them: tokens and a mask, one array for each text."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from skipfill.compat.encoders.hf.source import TransformersSource
from skipfill.store.errors import BadInput, Parameter
from skipfill.store.parquet.items import ItemBlock

LONGEST = 512


class TextFront:
    """Texts -> tokens.

    Args:
        tokenizer: JSON of the `tokenizers` library.
        prefix, lower, max_length, pad: see `Settings` of the encoder `hf`.
    """

    def __init__(self, tokenizer: str, *, prefix: str, lower: bool, max_length: int, pad: int) -> None:
        from tokenizers import Tokenizer

        self._tokenizer = Tokenizer.from_str(tokenizer)
        self._tokenizer.enable_truncation(max_length)
        self._tokenizer.no_padding()
        self._prefix = prefix
        self._lower = lower
        self._length = max_length
        self._pad = pad

    def prepare(self, block: ItemBlock) -> NDArray[np.int32]:
        """(N, 2, max_length): tokens, and 1 where there is one."""
        texts = [self._prefix + (text.lower() if self._lower else text) for text in block.inputs]
        prepared = np.zeros((len(texts), 2, self._length), np.int32)
        prepared[:, 0] = self._pad
        for row, found in enumerate(self._tokenizer.encode_batch(texts)):
            prepared[row, 0, : len(found.ids)] = found.ids
            prepared[row, 1, : max(len(found.ids), 1)] = 1  # a mean over no token at all is not a number
        return prepared


def model_inputs(batch: Tensor) -> dict[str, Tensor]:
    """(N, 2, L) prepared texts -> what the model takes, no longer than the longest of them."""
    longest = max(int(batch[:, 1].sum(dim=1).max()), 1)
    return {"input_ids": batch[:, 0, :longest].long(), "attention_mask": batch[:, 1, :longest].long()}


def text_settings(source: TransformersSource, longest: int, given_length: int) -> dict[str, Any]:
    """Settings of a text encoder by its own files.

    Args:
        longest: how many tokens its tokenizer allows.
        given_length: how many the user wants; 0 for the encoder's own choice.
    """
    sentence, prompts = source.json("sentence_bert_config.json"), source.json("config_sentence_transformers.json")
    sentence, prompts = (one if isinstance(one, dict) else {} for one in (sentence, prompts))
    places = int(source.config.get("max_position_embeddings") or LONGEST)
    most = min(longest, places)
    if given_length > most:
        raise BadInput(
            Parameter("encoder", f"hf:{source.name}"),
            expected=f"a max_length of at most {most}",
            found=str(given_length),
            hint="The model has no positions for more tokens.",
        )
    prompt = prompts.get("default_prompt_name")
    return {
        "max_length": min(int(sentence.get("max_seq_length") or LONGEST), most),
        "lower": bool(sentence.get("do_lower_case")),
        "prefix": (prompts.get("prompts") or {}).get(prompt, "") if prompt else "",
    }
