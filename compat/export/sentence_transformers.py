"""Export as a folder of the sentence-transformers library: a text encoder, and dense layers after it."""

from __future__ import annotations

import inspect
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from skipfill.compat.encoders.hf.encoder import TOKENIZER, Hf
from skipfill.compat.export.format import Encode, Format, library, write_json
from skipfill.compat.export.inputs import TextInput
from skipfill.compat.export.lowering import program_of
from skipfill.compat.export.pipeline import QueryPipeline
from skipfill.compat.export.program import Program, Step
from skipfill.compat.nn.serialization import tensor_bytes
from skipfill.store.errors import Advice, BadInput
from skipfill.store.parquet.items import ItemBlock
from skipfill.store.parquet.vectors import Matrix

MODULES = "sentence_transformers.models."
"""The classes by their oldest names, so that older releases of the library load the folder, too."""
ENCODED_AT_ONCE = 64


class SentenceTransformers(Format):
    """Transformer, Pooling, and then Dense and Normalize as often as the steps after it need them."""

    summary = "a folder that SentenceTransformer(FOLDER) loads, for texts"
    library = "sentence-transformers"
    takes_no_tokens = False

    def write(self, pipeline: QueryPipeline, folder: Path, example: ItemBlock) -> None:
        encoder = _text_encoder(pipeline)
        layers = _layers(pipeline, program_of(pipeline))
        library("sentence_transformers", "sentence-transformers", "hf")
        _write_encoder(encoder, folder)
        modules = [("", "Transformer"), ("1_Pooling", "Pooling")]
        (folder / "1_Pooling").mkdir()
        mean = encoder.settings.pooling == "mean"
        pooling = {"word_embedding_dimension": encoder.width, "pooling_mode_cls_token": not mean}
        write_json(folder / "1_Pooling" / "config.json", {**pooling, "pooling_mode_mean_tokens": mean})
        for layer in layers:
            kind = "Normalize" if layer is None else "Dense"
            path = f"{len(modules)}_{kind}"
            modules.append((path, kind))
            (folder / path).mkdir()
            write_json(folder / path / "config.json", {} if layer is None else layer.config())
            if layer is not None:
                (folder / path / "model.safetensors").write_bytes(layer.weights())
        write_json(
            folder / "modules.json",
            [
                {"idx": number, "name": str(number), "path": path, "type": MODULES + kind}
                for number, (path, kind) in enumerate(modules)
            ],
        )

    def loaded(self, pipeline: QueryPipeline, folder: Path) -> Encode:
        model = library("sentence_transformers", "sentence-transformers", "hf").SentenceTransformer(
            str(folder), device="cpu", local_files_only=True
        )

        def encode(block: ItemBlock) -> Matrix:
            made = model.encode(block.inputs, batch_size=ENCODED_AT_ONCE, show_progress_bar=False)
            vectors: Matrix = np.asarray(made, np.float32)
            return vectors

        return encode

    def usage(self, pipeline: QueryPipeline) -> str:
        return (
            "from sentence_transformers import SentenceTransformer\n\n"
            'vectors = SentenceTransformer("FOLDER").encode(["a query"])\n'
        )


class _Dense:
    """A Dense module: activation(x weight^T + bias)."""

    def __init__(self, weight: Tensor, bias: Tensor | None, activation: type[nn.Module] = nn.Identity) -> None:
        self.weight, self.bias, self.activation = weight, bias, activation

    def config(self) -> dict[str, Any]:
        out, inputs = self.weight.shape
        return {
            "in_features": inputs,
            "out_features": out,
            "bias": self.bias is not None,
            "activation_function": f"{self.activation.__module__}.{self.activation.__qualname__}",
        }

    def weights(self) -> bytes:
        bias = {} if self.bias is None else {"linear.bias": self.bias.contiguous()}
        return tensor_bytes({"linear.weight": self.weight.contiguous(), **bias})

    def first(self, count: int) -> _Dense:
        """The same module with the first `count` outputs only."""
        return _Dense(self.weight[:count], None if self.bias is None else self.bias[:count], self.activation)


def _text_encoder(pipeline: QueryPipeline) -> Hf:
    """The encoder of a pipeline.

    Raises:
        BadInput: the library has no module for it.
    """
    first, where = pipeline.own[0], f"model {pipeline.model.card.name}"
    hint = Advice("export_as", model=pipeline.model.card.name, format="onnx")
    if not isinstance(first, TextInput):
        kind = first.described()["kind"]  # type: ignore[operator]
        raise BadInput(
            where, expected="an encoder of texts, as sentence-transformers runs", found=f"one of {kind}s", hint=hint
        )
    if pipeline.blend is not None:
        found = f"a blend with {pipeline.blend.space}, a sum of two vectors that are normalised apart"
        raise BadInput(where, expected="one row of modules, as sentence-transformers runs", found=found, hint=hint)
    how = first.hf.settings
    if how.lower and how.prefix.lower() != how.prefix:
        found = f"the prefix {how.prefix!r}, which sentence-transformers would put in lower case with the text"
        raise BadInput(where, expected="a prefix in lower case", found=found, hint=hint)
    return first.hf


def _layers(pipeline: QueryPipeline, program: Program) -> list[_Dense | None]:
    """The steps after the encoder as Dense modules, and None for Normalize.

    Raises:
        BadInput: a step for which there is no module, or that takes another value than that of the step before.
    """
    layers = _pooler(pipeline)
    for before, step in zip(program.steps, program.steps[1:], strict=False):
        tensors = {role: program.tensors[name] for role, name in step.tensors.items()}
        last = layers[-1] if layers else None
        if step.of != (before.to,) or step.op not in ("linear", "residual", "normalize", "slice"):
            raise _refused(pipeline, step)
        if step.op == "normalize":
            layers.append(None)
        elif step.op == "linear":
            layers.append(_Dense(tensors["weight"], tensors.get("bias")))
        elif step.op == "residual":
            layers += _as_two(tensors)
        elif last is not None:
            layers[-1] = last.first(step.numbers["stop"])
        else:
            width = _text_encoder(pipeline).width
            layers.append(_Dense(torch.eye(width)[: step.numbers["stop"]], None))
    return layers


def _refused(pipeline: QueryPipeline, step: Step) -> BadInput:
    return BadInput(
        f"model {pipeline.model.card.name}",
        expected="linear layers and normalisation after the text encoder, the modules that sentence-transformers has",
        found=f"the {step.part}, which is more than that",
        hint=Advice("export_as", model=pipeline.model.card.name, format="onnx"),
    )


def _as_two(tensors: dict[str, Tensor]) -> list[_Dense | None]:
    """A residual map x W^T + b + relu(x U^T + c) V^T as two modules, because x = relu(x) - relu(-x)."""
    weight, inner = tensors["weight"], tensors["inner_weight"]
    eye = torch.eye(inner.shape[1])
    zeros = torch.zeros(2 * inner.shape[1])
    return [
        _Dense(torch.cat([inner, eye, -eye]), torch.cat([tensors["inner_bias"], zeros]), nn.ReLU),
        _Dense(torch.cat([tensors["outer_weight"], weight, -weight], dim=1), tensors["bias"]),
    ]


def _pooler(pipeline: QueryPipeline) -> list[_Dense | None]:
    """The model's own pooler as a module after the pooling by the first token; none for other poolings.

    Raises:
        BadInput: a pooler that is not one dense layer.
    """
    encoder = _text_encoder(pipeline)
    if encoder.settings.pooling != "pooler":
        return []
    pooler = encoder.model.pooler
    dense, activation = getattr(pooler, "dense", None), getattr(pooler, "activation", None)
    if not isinstance(dense, nn.Linear) or not isinstance(activation, nn.Tanh):
        raise BadInput(
            f"model {pipeline.model.card.name}",
            expected="a pooler of one dense layer, as sentence-transformers can have it",
            found=f"a pooler of {type(encoder.model).__name__}",
            hint=Advice("export_as", model=pipeline.model.card.name, format="onnx"),
        )
    return [_Dense(dense.weight.detach(), dense.bias.detach(), nn.Tanh)]


def _write_encoder(encoder: Hf, folder: Path) -> None:
    """Write the Transformer module: model, tokenizer, and how texts are prepared."""
    from tokenizers import Tokenizer

    how, model = encoder.settings, encoder.model
    model.save_pretrained(folder)
    tokenizer = encoder.files()[TOKENIZER]
    (folder / TOKENIZER).write_bytes(tokenizer)
    write_json(
        folder / "tokenizer_config.json",
        {
            "tokenizer_class": "PreTrainedTokenizerFast",
            "model_max_length": how.max_length,
            "pad_token": Tokenizer.from_str(tokenizer.decode()).id_to_token(how.pad) or "[PAD]",
            "padding_side": "right",
            "truncation_side": "right",
            "model_input_names": ["input_ids", "attention_mask"],
            "clean_up_tokenization_spaces": False,
        },
    )
    # Random weights of a pooler that the bundle does not have would only be a warning.
    pooler = "add_pooling_layer" in inspect.signature(type(model).__init__).parameters and how.pooling != "pooler"
    arguments = {"model_args": {"add_pooling_layer": False}} if pooler else {}
    write_json(
        folder / "sentence_bert_config.json",
        {"max_seq_length": how.max_length, "do_lower_case": how.lower, **arguments},
    )
    prompts = {"prompts": {"query": how.prefix}, "default_prompt_name": "query"} if how.prefix else {}
    write_json(folder / "config_sentence_transformers.json", {"similarity_fn_name": "cosine", **prompts})
