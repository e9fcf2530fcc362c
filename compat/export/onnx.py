"""Export as ONNX: one graph from the tensors of a query to the vector that the gallery is searched with."""

from __future__ import annotations

import json
import os
import warnings
from pathlib import Path
from typing import Any

import torch

from skipfill.compat.export.format import CONFIG, Encode, Format, library, write_contract
from skipfill.compat.export.inputs import TextInput
from skipfill.compat.export.pipeline import OUTPUT, QueryPipeline
from skipfill.store.errors import BadInput, reason
from skipfill.store.parquet.items import ItemBlock
from skipfill.store.parquet.vectors import Matrix

GRAPH = "model.onnx"
OPSET = 18


class Onnx(Format):
    """`model.onnx` with normalisation inside and any number of queries, and `config.json` for its inputs."""

    summary = "one graph, normalisation inside, for onnxruntime"
    library = "onnx"

    def write(self, pipeline: QueryPipeline, folder: Path, example: ItemBlock) -> None:
        library("onnx", "onnx", "onnx")
        _onnxruntime()
        write_contract(folder, pipeline, graph=GRAPH, opset=OPSET)
        arrays = pipeline.arrays(example, folder)
        free = {
            name: {axis: size for axis, size in enumerate(shape) if isinstance(size, str)}
            for name, (_, shape) in pipeline.tensors.items()
        }
        try:
            with warnings.catch_warnings(), torch.no_grad():
                warnings.simplefilter("ignore")  # of the tracer: values that do not depend on the input are constants
                torch.onnx.export(
                    pipeline,
                    tuple(torch.from_numpy(arrays[name]) for name in pipeline.tensors),
                    folder / GRAPH,
                    input_names=list(pipeline.tensors),
                    output_names=[OUTPUT],
                    opset_version=OPSET,
                    dynamic_axes={**free, OUTPUT: {0: "batch"}},
                    dynamo=False,
                )
            self._describe(pipeline, folder)
        except Exception as error:  # the exporter raises what it likes for a network that it cannot express
            raise BadInput(
                f"model {pipeline.model.card.name}",
                expected="a network that torch can write as ONNX",
                found=f"{type(error).__name__}: {reason(error)}",
            ) from error

    def _describe(self, pipeline: QueryPipeline, folder: Path) -> None:
        """Write into the graph which model it is, and the dimension of its output, which the tracer does not know."""
        onnx = library("onnx", "onnx", "onnx")
        graph = onnx.load(folder / GRAPH, load_external_data=False)
        graph.graph.output[0].type.tensor_type.shape.dim[1].dim_value = pipeline.dim
        card = pipeline.model.card
        onnx.helper.set_model_props(
            graph, {"model": card.name, "fingerprint": card.fingerprint, "space": pipeline.space}
        )
        onnx.save(graph, folder / GRAPH)

    def loaded(self, pipeline: QueryPipeline, folder: Path) -> Encode:
        session = _onnxruntime().InferenceSession(str(folder / GRAPH), providers=["CPUExecutionProvider"])
        names = [one["name"] for one in json.loads((folder / CONFIG).read_text(encoding="utf-8"))["inputs"]]

        def encode(block: ItemBlock) -> Matrix:
            arrays = pipeline.arrays(block, folder)
            vectors: Matrix = session.run([OUTPUT], {name: arrays[name] for name in names})[0]
            return vectors

        return encode

    def usage(self, pipeline: QueryPipeline) -> str:
        if any(isinstance(one, TextInput) for one in pipeline.inputs):
            return _USAGE_OF_TEXTS
        tensors = ", ".join(f'"{name}": {name}' for name in pipeline.tensors)
        return _USAGE.format(tensors=tensors)


def _onnxruntime() -> Any:
    os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")  # read when it is imported
    return library("onnxruntime", "onnx", "onnx")


_USAGE = """import onnxruntime

session = onnxruntime.InferenceSession("model.onnx")
vectors = session.run(None, {{{tensors}}})[0]  # types and shapes: inputs in config.json
"""
_USAGE_OF_TEXTS = """import numpy as np
import onnxruntime
from tokenizers import Tokenizer

found = Tokenizer.from_file("tokenizer.json").encode_batch(["a query"])  # config.json has a prefix, if there is one
tensors = {"input_ids": [one.ids for one in found], "attention_mask": [one.attention_mask for one in found]}
session = onnxruntime.InferenceSession("model.onnx")
vectors = session.run(None, {name: np.array(rows) for name, rows in tensors.items()})[0]
"""
