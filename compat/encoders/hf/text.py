"""Turns texts into tokens and a mask, as text encoders take them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from skipfill.compat.encoders.hf.source import TransformersSource
from skipfill.store.errors import BadInput, Parameter
from skipfill.store.parquet.items import ItemBlock

LONGEST = 512


class TextTokenizer:
    """Turns texts into tokens.

    Args:
        tokenizer: JSON of the `tokenizers` library.
        words: size of the model's vocabulary.
        prefix, lower, max_length, pad: see `Settings` of the encoder `hf`.

    Raises:
        BadInput: the library cannot make this tokenizer.
    """

    def __init__(self, tokenizer: str, *, words: int, prefix: str, lower: bool, max_length: int, pad: int) -> None:
        from tokenizers import Tokenizer

        with _native("a tokenizer that the library can make"):
            self._tokenizer = Tokenizer.from_str(tokenizer)
            self._tokenizer.enable_truncation(max_length)
            self._tokenizer.no_padding()
        self._words = words
        self._prefix = prefix
        self._lower = lower
        self._length = max_length
        self._pad = pad

    def prepare(self, block: ItemBlock) -> NDArray[np.int32]:
        """(N, 2, max_length): the tokens of each text, and a mask of 1 where there is a token.

        Raises:
            BadInput: the tokenizer fails, or gives a token that the model does not have.
        """
        texts = [self._prefix + (text.lower() if self._lower else text) for text in block.inputs]
        prepared = np.zeros((len(texts), 2, self._length), np.int32)
        prepared[:, 0] = self._pad
        with _native("texts that the tokenizer takes"):
            encodings = self._tokenizer.encode_batch(texts)
        for row, encoding in enumerate(encodings):
            if max(encoding.ids, default=0) >= self._words:
                raise BadInput(
                    f"{block.path}, row {block.rows[row]}",
                    expected=f"tokens of the model's vocabulary, below {self._words}",
                    found=str(max(encoding.ids)),
                    hint="The tokenizer belongs to another model than the weights.",
                )
            prepared[row, 0, : len(encoding.ids)] = encoding.ids
            prepared[row, 1, : max(len(encoding.ids), 1)] = 1  # a mean over no token would be NaN
        return prepared


@contextmanager
def _native(expected: str) -> Iterator[None]:
    """Turn any failure of the library into a `BadInput`, also a panic of its native code, which is no `Exception`."""
    try:
        yield
    except BaseException as error:
        if not isinstance(error, Exception) and type(error).__name__ != "PanicException":
            raise
        where, found = "the tokenizer of an encoder hf", str(error).splitlines() or [type(error).__name__]
        raise BadInput(where, expected=expected, found=found[0][:200]) from error


def model_inputs(batch: Tensor) -> dict[str, Tensor]:
    """The arguments of the model for (N, 2, L) prepared texts, cut to the length of the longest."""
    longest = max(int(batch[:, 1].sum(dim=1).max()), 1)
    return {"input_ids": batch[:, 0, :longest].long(), "attention_mask": batch[:, 1, :longest].long()}


def text_settings(source: TransformersSource, longest: int, given_length: int) -> dict[str, Any]:
    """Length, case and prefix of texts, read from the model's own files.

    Args:
        longest: the most tokens that the tokenizer allows.
        given_length: tokens that the user wants; 0 for the model's own choice.

    Raises:
        BadInput: the model allows fewer tokens than the user wants.
    """
    sentence, prompts = (
        content if isinstance(content, dict) else {}
        for content in map(source.json, ("sentence_bert_config.json", "config_sentence_transformers.json"))
    )
    positions = int(source.config.get("max_position_embeddings") or LONGEST)
    most = min(longest, positions)
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
