"""Faults planted in an ONNX artefact, one a copy: each names the operator that it was planted in."""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import numpy_helper

Plant = Callable[[onnx.ModelProto, np.random.Generator], str | None]


def _weights(model: onnx.ModelProto) -> dict[str, onnx.TensorProto]:
    return {one.name: one for one in model.graph.initializer}


def _with_weights(model: onnx.ModelProto, kinds: tuple[str, ...], place: int) -> list[onnx.NodeProto]:
    known = _weights(model)
    return [
        node
        for node in model.graph.node
        if node.op_type in kinds and len(node.input) > place and node.input[place] in known
        and numpy_helper.to_array(known[node.input[place]]).dtype == np.float32
    ]  # fmt: skip


def _some(nodes: list[onnx.NodeProto], random: np.random.Generator) -> onnx.NodeProto | None:
    return nodes[random.integers(len(nodes))] if nodes else None


def _changed(
    model: onnx.ModelProto, node: onnx.NodeProto, place: int, change: Callable[[np.ndarray], np.ndarray]
) -> str:
    """A copy of a weight for this node alone, changed."""
    name = f"planted_{node.input[place]}"
    array = change(numpy_helper.to_array(_weights(model)[node.input[place]]).copy())
    model.graph.initializer.append(numpy_helper.from_array(np.ascontiguousarray(array, np.float32), name))
    node.input[place] = name
    return node.output[0]


def one_weight(model: onnx.ModelProto, random: np.random.Generator) -> str | None:
    """One weight of a layer is three times the greatest beside it."""
    node = _some(_with_weights(model, ("Conv", "Gemm", "MatMul"), 1), random)

    def change(array: np.ndarray) -> np.ndarray:
        array[tuple(random.integers(size) for size in array.shape)] += 3 * np.abs(array).max()
        return array

    return node and _changed(model, node, 1, change)


def scaled_bias(model: onnx.ModelProto, random: np.random.Generator) -> str | None:
    """A folded epsilon that is wrong: a layer's bias is 2 % off."""
    node = _some([*_with_weights(model, ("Conv", "Gemm"), 2), *_with_weights(model, ("Add",), 1)], random)
    place = 1 if node is not None and node.op_type == "Add" else 2
    return node and _changed(model, node, place, lambda array: array * 1.02)


def swapped_axis(model: onnx.ModelProto, random: np.random.Generator) -> str | None:
    """The two last axes of a square weight are swapped."""
    known = _weights(model)
    square = [
        node
        for node in _with_weights(model, ("Conv", "MatMul"), 1)
        if len(shape := numpy_helper.to_array(known[node.input[1]]).shape) > 1 and shape[-1] == shape[-2] > 1
    ]
    node = _some(square, random)
    return node and _changed(model, node, 1, lambda array: array.swapaxes(-1, -2))


def half_overflow(model: onnx.ModelProto, random: np.random.Generator) -> str | None:
    """A layer's output went through half precision and overflowed: its greatest values are infinite."""
    node = _some([*_with_weights(model, ("Conv", "Gemm"), 2), *_with_weights(model, ("Add",), 1)], random)
    place = 1 if node is not None and node.op_type == "Add" else 2

    def change(array: np.ndarray) -> np.ndarray:
        array.reshape(-1)[random.integers(array.size)] = np.inf
        return array

    return node and _changed(model, node, place, change)


def wrong_attribute(model: onnx.ModelProto, random: np.random.Generator) -> str | None:
    """Padding goes to the other sides, a softmax runs over another axis, a bound of a clip is another."""
    found: list[tuple[onnx.NodeProto, Callable[[], None]]] = []
    for node in model.graph.node:
        named = {one.name: one for one in node.attribute}
        if node.op_type == "Conv" and "pads" in named and min(named["pads"].ints) > 0:
            found.append((node, lambda one=named["pads"]: one.ints.__setitem__(slice(None), _moved(list(one.ints)))))
        if node.op_type == "LayerNormalization" and "epsilon" in named:
            found.append((node, lambda one=named["epsilon"]: setattr(one, "f", 1e-2)))
        if node.op_type == "Clip" and len(node.input) > 2:
            found.append((node, lambda one=node: _bounded(model, one)))
        if node.op_type == "Softmax" and "axis" in named:
            found.append((node, lambda one=named["axis"]: setattr(one, "i", -2)))
    if not found:
        return None
    node, plant = found[random.integers(len(found))]
    plant()
    return node.output[0]


def _moved(pads: list[int]) -> list[int]:
    half = len(pads) // 2
    return [p - 1 for p in pads[:half]] + [p + 1 for p in pads[half:]]


def _bounded(model: onnx.ModelProto, node: onnx.NodeProto) -> None:
    model.graph.initializer.append(numpy_helper.from_array(np.float32(2.5), "planted_bound"))
    node.input[2] = "planted_bound"


KINDS: tuple[Plant, ...] = (one_weight, scaled_bias, swapped_axis, half_overflow, wrong_attribute)


def mutants(
    bundle: Path, variant: str, scratch: Path, count: int, graph: str = "model"
) -> Iterator[tuple[str, str, Path]]:
    """Copies of a Bundle, each with one fault in one graph of an ONNX variant; its hashes are made to fit.

    Yields:
        The kind of fault, the output's name of the operator that it is in, and the copy.
    """
    random, made, number = np.random.default_rng(0), 0, 0
    while made < count:
        plant = KINDS[number % len(KINDS)]
        number += 1
        place = f"variants/{variant}/{graph}.onnx"
        model = onnx.load(bundle / place)
        where = plant(model, random)
        if where is None:
            continue
        copy = scratch / f"mutant_{made}.tport"
        shutil.copytree(bundle, copy)
        onnx.save(model, copy / place)
        _listed(copy, place)
        made += 1
        yield plant.__name__, where, copy


def _listed(bundle: Path, place: str) -> None:
    manifest: dict[str, Any] = json.loads((bundle / "torchport.json").read_text())
    content = (bundle / place).read_bytes()
    for entry in manifest["files"]:
        if entry["path"] == place:
            entry["size"], entry["sha256"] = len(content), hashlib.sha256(content).hexdigest()
    (bundle / "torchport.json").write_text(json.dumps(manifest))
