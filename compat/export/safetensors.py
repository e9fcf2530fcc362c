"""Export as safetensors: the tensors, and a config that describes every step on them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch
from safetensors.numpy import load_file
from torch import Tensor

from skipfill.compat.encoders.hf.encoder import Hf
from skipfill.compat.export.format import CONFIG, Encode, Format, write_contract
from skipfill.compat.export.inputs import INPUTS, PipelineInput
from skipfill.compat.export.lowering import TRANSFORMERS, program_of
from skipfill.compat.export.pipeline import OLD, QueryPipeline
from skipfill.compat.export.program import Array, run
from skipfill.compat.nn.serialization import tensor_bytes
from skipfill.store.parquet.items import ItemBlock
from skipfill.store.parquet.vectors import Matrix

WEIGHTS = "model.safetensors"


class Safetensors(Format):
    """Weights as safetensors, and `config.json`, which names each tensor and gives the formula of each step."""

    summary = "the tensors, and the formula of every step: to write the model again in any language"
    library = "safetensors"

    def write(self, pipeline: QueryPipeline, folder: Path, example: ItemBlock) -> None:
        program = program_of(pipeline)
        tensors = {name: _plain(tensor) for name, tensor in program.tensors.items()}
        (folder / WEIGHTS).write_bytes(tensor_bytes(tensors))
        part_of = {name: step.part for step in program.steps for name in step.tensors.values()}
        write_contract(
            folder,
            pipeline,
            weights=WEIGHTS,
            steps=[step.as_json() for step in program.steps],
            formulas=program.formulas(),
            tensors={
                name: {
                    "shape": list(tensor.shape),
                    "type": str(tensor.dtype).removeprefix("torch."),
                    "part": part_of[name],
                }
                for name, tensor in tensors.items()
            },
        )

    def loaded(self, pipeline: QueryPipeline, folder: Path) -> Encode:
        steps, tensors = json.loads((folder / CONFIG).read_text(encoding="utf-8"))["steps"], load_file(folder / WEIGHTS)
        libraries = [_Transformers(step, pipeline, tensors) for step in steps if step["op"] == TRANSFORMERS]
        others = [step for step in steps if step["op"] != TRANSFORMERS]

        def encode(block: ItemBlock) -> Matrix:
            values = pipeline.arrays(block, folder)
            values |= {model.to: model(values) for model in libraries}
            return run(others, tensors, values)

        return encode

    def usage(self, pipeline: QueryPipeline) -> str:
        return (
            "import json\n"
            "from safetensors.numpy import load_file\n\n"
            'tensors = load_file("model.safetensors")\n'
            'steps = json.load(open("config.json"))["steps"]  # in order; "formulas" says what each of them does\n'
        )


def _plain(tensor: Tensor) -> Tensor:
    return tensor.detach().contiguous()


class _Transformers:
    """The step of a model of the transformers library, with the tensors of the file."""

    def __init__(self, step: dict[str, Any], pipeline: QueryPipeline, tensors: dict[str, Array]) -> None:
        self.to, self._of = str(step["to"]), step["of"]
        given = (pipeline.old if self.to.startswith(OLD) else pipeline.own)[0]
        assert isinstance(given, PipelineInput)
        encoder = given.encoder
        again = Hf.rebuilt(encoder.described() | {"config": step["config"]}, encoder.files().__getitem__)
        begin = step["tensors_begin_with"]
        again.model.load_state_dict(
            {name.removeprefix(begin): torch.from_numpy(one) for name, one in tensors.items() if name.startswith(begin)}
        )
        self._input = INPUTS[Hf](again.eval(), given.which)

    def __call__(self, values: dict[str, Array]) -> Array:
        with torch.inference_mode():
            features: Array = self._input(*(torch.from_numpy(values[name]) for name in self._of)).numpy()
        return features
