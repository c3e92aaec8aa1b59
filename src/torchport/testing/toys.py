"""Toy models, each with its own answer worked out in numpy: what every target must be able to say about itself.

Together they cover one and several inputs, dict and tuple outputs, float, integer, boolean and byte tensors, dynamic
batch, length, height and width, a graph without a batch, and control flow that only TorchScript captures.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
import torch
from torch import nn

from ..frontend.program import Arrays, GraphProgram, Program
from ..types import Bound, Signature, TensorSpec

__all__ = ["TOYS", "Toy"]

EXAMPLE = {"batch": 2, "length": 7, "height": 16, "width": 24}
OTHER = {"batch": 3, "length": 5, "height": 13, "width": 21}
"""Sizes of the dynamic dimensions that a toy is captured at, and others to try it with."""

VOCABULARY = 11


@dataclass(frozen=True)
class Toy:
    """One model.

    Attributes:
        name: short, unique.
        signature: of its one graph, `model`.
        make: builds the module; called with torch's generator seeded.
        answer: the right outputs for a feed, in numpy, from the module's weights.
        scripted: only TorchScript can capture it.
    """

    name: str
    signature: Signature
    make: Callable[[], nn.Module]
    answer: Callable[[Mapping[str, np.ndarray], Arrays], Arrays]
    scripted: bool = False

    def module(self) -> nn.Module:
        """The module in eval mode, the same on every call; scripted where only that can be captured."""
        with torch.random.fork_rng():
            torch.manual_seed(0)
            module = self.make().eval().requires_grad_(False)
        return torch.jit.script(module) if self.scripted else module

    def feed(self, sizes: Mapping[str, int] = EXAMPLE, seed: int = 0) -> Arrays:
        """Seeded arrays of the signature's dtypes, the dynamic dimensions as in `sizes`."""
        random = np.random.default_rng(seed)
        feed: Arrays = {}
        for spec in self.signature.inputs:
            shape = tuple(dim if isinstance(dim, int) else sizes[dim] for dim in spec.shape)
            match spec.dtype:
                case "bool":
                    feed[spec.name] = random.random(shape) < 0.7
                case "int64":
                    feed[spec.name] = random.integers(0, VOCABULARY, shape)
                case "uint8":
                    feed[spec.name] = random.integers(0, 256, shape, dtype=np.uint8)
                case _:
                    feed[spec.name] = random.standard_normal(shape).astype(spec.dtype)
        return feed

    def expected(self, feed: Arrays) -> Arrays:
        """The right outputs, by name, in the signature's dtypes."""
        weights = {name: tensor.numpy() for name, tensor in self.module().state_dict().items()}
        answer = self.answer(weights, feed)
        return {spec.name: np.asarray(answer[spec.name], dtype=spec.dtype) for spec in self.signature.outputs}

    def program(self) -> Program:
        """The toy as captured: exported with its dynamic dimensions, or scripted."""
        module, examples = self.module(), self.feed()
        dims = {
            name: torch.export.Dim(name, min=bound.min, max=bound.max) for name, bound in self.signature.dims.items()
        }
        exported = None
        if not self.scripted:
            exported = torch.export.export(
                module,
                tuple(torch.from_numpy(examples[spec.name]) for spec in self.signature.inputs),
                dynamic_shapes=tuple(
                    {axis: dims[dim] for axis, dim in enumerate(spec.shape) if isinstance(dim, str)}
                    for spec in self.signature.inputs
                ),
            )
        rung = "script" if self.scripted else "strict"
        graph = GraphProgram(
            name="model", signature=self.signature, examples=examples, exported=exported, module=module, rung=rung
        )
        return Program(graphs={"model": graph}, source={"kind": "toy", "name": self.name})


def _signature(
    inputs: Mapping[str, tuple[str, tuple[int | str, ...]]], outputs: Mapping[str, tuple[str, tuple[int | str, ...]]]
) -> Signature:
    bounds = {
        "batch": Bound(max=64),
        "length": Bound(min=2, max=64),
        "height": Bound(min=4, max=64),
        "width": Bound(min=4, max=64),
    }
    specs = [
        tuple(TensorSpec(name=name, dtype=dtype, shape=shape) for name, (dtype, shape) in side.items())
        for side in (inputs, outputs)
    ]
    named = {dim for spec in specs[0] for dim in spec.shape if isinstance(dim, str)}
    return Signature(
        inputs=specs[0], outputs=specs[1], dims={name: bound for name, bound in bounds.items() if name in named}
    )


def _linear(weights: Mapping[str, np.ndarray], prefix: str, x: np.ndarray) -> np.ndarray:
    return np.asarray(x @ weights[f"{prefix}.weight"].T + weights[f"{prefix}.bias"])


def _softmax(x: np.ndarray) -> np.ndarray:
    raised = np.exp(x - x.max(-1, keepdims=True))
    return np.asarray(raised / raised.sum(-1, keepdims=True))


def _mlp() -> nn.Module:
    return nn.Sequential(nn.Linear(10, 5), nn.ReLU(), nn.Linear(5, 2))


def _mlp_answer(w: Mapping[str, np.ndarray], feed: Arrays) -> Arrays:
    return {"output_0": _linear(w, "2", np.maximum(_linear(w, "0", feed["input"]), 0))}


def _conv() -> nn.Module:
    norm = nn.BatchNorm2d(4)
    nn.init.normal_(norm.running_mean)  # type: ignore[arg-type]
    nn.init.uniform_(norm.running_var, 0.5, 2.0)  # type: ignore[arg-type]
    return nn.Sequential(nn.Conv2d(3, 4, 3, padding=1), norm, nn.ReLU())


def _conv_answer(w: Mapping[str, np.ndarray], feed: Arrays) -> Arrays:
    padded = np.pad(feed["input"], ((0, 0), (0, 0), (1, 1), (1, 1)))
    windows = np.lib.stride_tricks.sliding_window_view(padded, (3, 3), axis=(2, 3))
    convolved = np.einsum("bchwij,ocij->bohw", windows, w["0.weight"]) + w["0.bias"][:, None, None]
    scale = w["1.weight"] / np.sqrt(w["1.running_var"] + 1e-5)
    return {
        "output_0": np.maximum(
            convolved * scale[:, None, None] + (w["1.bias"] - w["1.running_mean"] * scale)[:, None, None], 0
        )
    }


class _TwoInputs(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.left, self.right = nn.Linear(4, 3), nn.Linear(6, 3)

    def forward(self, a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
        return torch.mul(self.left(a), torch.sigmoid(self.right(b)))


def _two_inputs_answer(w: Mapping[str, np.ndarray], feed: Arrays) -> Arrays:
    return {"output_0": _linear(w, "left", feed["a"]) / (1 + np.exp(-_linear(w, "right", feed["b"])))}


class _Embedding(nn.Module):
    """Mean of the embedded ids where the mask is true."""

    def __init__(self) -> None:
        super().__init__()
        self.table = nn.Embedding(VOCABULARY, 8)

    def forward(self, ids: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        kept = mask.to(torch.float32).unsqueeze(-1)
        return torch.mul(self.table(ids), kept).sum(1) / kept.sum(1).clamp(min=1.0)


def _embedding_answer(w: Mapping[str, np.ndarray], feed: Arrays) -> Arrays:
    kept = feed["mask"][..., None].astype(np.float32)
    return {"output_0": (w["table.weight"][feed["ids"]] * kept).sum(1) / np.maximum(kept.sum(1), 1)}


class _DictOutputs(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.head = nn.Linear(6, 4)

    def forward(self, x: torch.Tensor) -> dict[str, torch.Tensor]:
        logits = self.head(x)
        return {"logits": logits, "best": logits.argmax(-1), "sure": logits.amax(-1) > 0.5}


def _dict_answer(w: Mapping[str, np.ndarray], feed: Arrays) -> Arrays:
    logits = _linear(w, "head", feed["x"])
    return {"logits": logits, "best": logits.argmax(-1), "sure": logits.max(-1) > 0.5}


class _TupleOutputs(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.body = nn.Linear(5, 5)

    def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        hidden = torch.tanh(self.body(x))
        return hidden, hidden.sum(-1)


def _tuple_answer(w: Mapping[str, np.ndarray], feed: Arrays) -> Arrays:
    hidden = np.tanh(_linear(w, "body", feed["x"]))
    return {"output_0": hidden, "output_1": hidden.sum(-1)}


class _Sequence(nn.Module):
    """One attention head over a sequence of any length."""

    def __init__(self) -> None:
        super().__init__()
        self.query, self.key, self.value = nn.Linear(4, 4), nn.Linear(4, 4), nn.Linear(4, 4)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        scores = self.query(x) @ self.key(x).transpose(1, 2) / 2.0
        return torch.matmul(torch.softmax(scores, -1), self.value(x))


def _sequence_answer(w: Mapping[str, np.ndarray], feed: Arrays) -> Arrays:
    x = feed["x"]
    scores = _linear(w, "query", x) @ _linear(w, "key", x).transpose(0, 2, 1) / 2
    return {"output_0": _softmax(scores) @ _linear(w, "value", x)}


class _Picture(nn.Module):
    """A decoded picture of any size to a normalised tensor, channels first."""

    def forward(self, pixels: torch.Tensor) -> torch.Tensor:
        return ((pixels.to(torch.float32) - 127.0) / 128.0).permute(2, 0, 1)


def _picture_answer(_: Mapping[str, np.ndarray], feed: Arrays) -> Arrays:
    return {"output_0": ((feed["pixels"].astype(np.float32) - 127) / 128).transpose(2, 0, 1)}


class _Scripted(nn.Module):
    """A loop whose length and branches depend on the data."""

    def __init__(self) -> None:
        super().__init__()
        self.decay = nn.Parameter(torch.rand(4))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        state = torch.zeros(4)
        for i in range(x.size(0)):
            state = state * self.decay + x[i] if bool(x[i].sum() > 0) else state - x[i]
        return state


def _scripted_answer(w: Mapping[str, np.ndarray], feed: Arrays) -> Arrays:
    state = np.zeros(4, np.float32)
    for row in feed["x"]:
        state = state * w["decay"] + row if row.sum() > 0 else state - row
    return {"output_0": state}


def _float(*shape: int | str) -> tuple[str, tuple[int | str, ...]]:
    return "float32", shape


_ONE = "output_0"

TOYS: dict[str, Toy] = {
    toy.name: toy
    for toy in (
        Toy("mlp", _signature({"input": _float("batch", 10)}, {_ONE: _float("batch", 2)}), _mlp, _mlp_answer),
        Toy(
            "conv",
            _signature({"input": _float("batch", 3, 8, 8)}, {_ONE: _float("batch", 4, 8, 8)}),
            _conv,
            _conv_answer,
        ),
        Toy(
            "two_inputs",
            _signature({"a": _float("batch", 4), "b": _float("batch", 6)}, {_ONE: _float("batch", 3)}),
            _TwoInputs,
            _two_inputs_answer,
        ),
        Toy(
            "embedding",
            _signature(
                {"ids": ("int64", ("batch", "length")), "mask": ("bool", ("batch", "length"))},
                {_ONE: _float("batch", 8)},
            ),
            _Embedding,
            _embedding_answer,
        ),
        Toy(
            "dict_outputs",
            _signature(
                {"x": _float("batch", 6)},
                {"logits": _float("batch", 4), "best": ("int64", ("batch",)), "sure": ("bool", ("batch",))},
            ),
            _DictOutputs,
            _dict_answer,
        ),
        Toy(
            "tuple_outputs",
            _signature({"x": _float("batch", 5)}, {_ONE: _float("batch", 5), "output_1": _float("batch")}),
            _TupleOutputs,
            _tuple_answer,
        ),
        Toy(
            "sequence",
            _signature({"x": _float("batch", "length", 4)}, {_ONE: _float("batch", "length", 4)}),
            _Sequence,
            _sequence_answer,
        ),
        Toy(
            "picture",
            _signature({"pixels": ("uint8", ("height", "width", 3))}, {_ONE: _float(3, "height", "width")}),
            _Picture,
            _picture_answer,
        ),
        Toy(
            "scripted",
            _signature({"x": _float("length", 4)}, {_ONE: _float(4)}),
            _Scripted,
            _scripted_answer,
            scripted=True,
        ),
    )
}
"""Every toy by name, the simplest first."""
