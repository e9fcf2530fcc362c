"""A pipeline written as a `Program`: encoders, heads, the view and the blend."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from torch import Tensor, nn

from skipfill.compat.encoders.convnet import ConvNet
from skipfill.compat.encoders.encoder import Encoder
from skipfill.compat.encoders.hf.encoder import Hf
from skipfill.compat.encoders.mlp import Mlp
from skipfill.compat.encoders.vectors import Vectors
from skipfill.compat.export.heads import HEAD_STEPS, certainty
from skipfill.compat.export.inputs import PipelineInput
from skipfill.compat.export.pipeline import OLD, OLD_VECTOR, QueryPipeline
from skipfill.compat.export.program import Program
from skipfill.compat.inference.network import Blend, Network
from skipfill.compat.nn.view_maps import LinearMap, ResidualMap
from skipfill.store.errors import Advice, BadInput

TRANSFORMERS = "transformers"
"""The step that no formula describes: a model of the transformers library, and its pooling."""


def program_of(pipeline: QueryPipeline) -> Program:
    """The steps of a pipeline, and their tensors.

    Raises:
        BadInput: a part that has no steps: a head that `HEAD_STEPS` does not know, or a blend of an older release.
    """
    program, network = Program(), pipeline.network
    _refuse_old_blend(pipeline.model.card.name, network)
    embedding = _network(program, network, pipeline.own[0], "", pipeline.model.card.name)
    program.begin(f"view onto {pipeline.space}")
    view_map = network.maps_by_space.get(pipeline.space)
    if view_map is None:
        whole = pipeline.dim == pipeline.model.card.dim
        vectors = embedding if whole else program.add("slice", embedding, start=0, stop=pipeline.dim)
    else:
        vectors = _map(program, view_map, program.add("normalize", embedding))
    vectors = program.add("normalize", vectors)
    if pipeline.blend is not None:
        _blend(program, pipeline, pipeline.blend, embedding, vectors)
    return program


def _network(program: Program, network: Network, given: nn.Module, prefix: str, model: str) -> str:
    """The embedding of a network, not normalised."""
    assert isinstance(given, PipelineInput)
    program.begin(f"encoder of {model}", prefix)
    features = ENCODER_STEPS[type(given.encoder)](program, given.encoder, list(given.tensors))
    program.begin(f"head of {model}, method {network.method}", prefix)
    if type(network.head) not in HEAD_STEPS:
        raise BadInput(
            f"model {model}",
            expected="a head that can be written as steps",
            found=f"that of method {network.method}",
            hint=Advice("export_as", model=model, format="onnx"),
        )
    return HEAD_STEPS[type(network.head)](program, network.head, features)


def _refuse_old_blend(name: str, network: Network | None) -> None:
    while network is not None:
        if network.old is not None and network.blend is None:
            raise BadInput(
                f"model {name}",
                expected="a blend as this release makes them",
                found="one of an older release",
                hint=Advice("export_as", model=name, format="onnx"),
            )
        network = None if network.blend is None else network.old


def _map(program: Program, view_map: LinearMap, embedding: str) -> str:
    tensors: dict[str, Tensor | None] = {"weight": view_map.weight, "bias": view_map.bias}
    if not isinstance(view_map, ResidualMap):
        return program.add("linear", embedding, to="map", tensors=tensors)
    inner, outer = view_map.inner, view_map.outer
    more = {"inner_weight": inner.weight, "inner_bias": inner.bias, "outer_weight": outer.weight}
    return program.add("residual", embedding, to="map", tensors={**tensors, **more})


def _blend(program: Program, pipeline: QueryPipeline, blend: Blend, embedding: str, vectors: str) -> None:
    add, network = program.add, pipeline.network
    old = OLD_VECTOR
    if network.old is not None:
        old = _network(program, network.old, pipeline.old[0], OLD, f"the old model {blend.space}")
    program.begin(f"blend with {blend.space}")
    old = add("normalize", old)
    if blend.weight is not None:
        summands = [(vectors, blend.weight), (old, 1 - blend.weight)]
        mixed = add("add", *(add("scale", value, factor=share, constant=0.0) for value, share in summands))
    else:
        assert network.classifier is not None
        sure = add("sqrt", certainty(program, network.classifier, embedding))
        total = add("scale", sure, factor=1.0, constant=1.0)
        rest = add("divide", add("scale", sure, factor=0.0, constant=1.0), total)
        mixed = add("add", add("multiply", add("divide", sure, total), vectors), add("multiply", rest, old))
    add("normalize", add("instead", mixed, old))


def _mlp(program: Program, encoder: Mlp, tensors: list[str]) -> str:
    layer = encoder.hidden[0]
    assert isinstance(layer, nn.Linear)
    scaled = program.add("standardize", *tensors, eps=encoder.scale.eps)
    hidden = program.add("linear", scaled, to="hidden", tensors={"weight": layer.weight, "bias": layer.bias})
    return program.add("concat", scaled, program.add("gelu", hidden))


def _convnet(program: Program, encoder: ConvNet, tensors: list[str]) -> str:
    value = tensors[0]
    for number, layer in enumerate(encoder.layers):
        if isinstance(layer, nn.Conv2d):
            norm = encoder.layers[number + 1]
            assert isinstance(norm, nn.BatchNorm2d)
            weight, bias = _with_batch_norm(layer, norm)
            value = program.add("conv3x3", value, to=f"conv{number}", tensors={"weight": weight, "bias": bias})
        elif isinstance(layer, nn.MaxPool2d):
            value = program.add("largest_of_2x2", value)
        elif isinstance(layer, nn.ReLU):
            value = program.add("relu", value)
    return program.add("mean_of_3x3", value)


def _with_batch_norm(layer: nn.Conv2d, norm: nn.BatchNorm2d) -> tuple[Tensor, Tensor]:
    """Weight and bias of the convolution with the batch norm after it, which is a fixed scaling once it is trained."""
    assert norm.running_var is not None
    assert norm.running_mean is not None
    factor = norm.weight / (norm.running_var + norm.eps).sqrt()
    return layer.weight * factor[:, None, None, None], norm.bias - factor * norm.running_mean


def _transformers(program: Program, encoder: Hf, tensors: list[str]) -> str:
    how = encoder.settings
    described: dict[str, Any] = {"config": how.config, "pooling": how.pooling}
    if encoder.takes == "image":
        described |= {"mean": how.mean, "std": how.std}
    weights: dict[str, Tensor | None] = dict(encoder.model.state_dict())
    return program.add(TRANSFORMERS, *tensors, to="features", tensors=weights, **described)


ENCODER_STEPS: dict[type[Encoder], Callable[[Program, Any, list[str]], str]] = {
    Mlp: _mlp,
    Vectors: lambda program, encoder, tensors: tensors[0],
    ConvNet: _convnet,
    Hf: _transformers,
}
"""Encoders as steps: each takes the names of the tensors, and returns that of the features."""
