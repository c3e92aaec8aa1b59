"""What stands for operators that converters err in answers as they do, at every size and on masks that leave everything
out.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from torchport.frontend.decompositions import FOR_ONNX, decomposed
from torchport.frontend.ladder import capture_graph
from torchport.frontend.program import Program
from torchport.targets import targets
from torchport.targets.base import ExportOptions

FLOATS = torch.Generator().manual_seed(0)


class Applied(torch.nn.Module):
    def __init__(self, function: Callable[..., torch.Tensor]) -> None:
        super().__init__()
        self.function = function

    def forward(self, x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
        return self.function(x, y)


def floats(*shape: int) -> torch.Tensor:
    return torch.randn(*shape, generator=FLOATS)


def attention(x: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
    return F.scaled_dot_product_attention(x, x, x, attn_mask=mask)


def grouped(x: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
    return F.scaled_dot_product_attention(x, x[:, :1], x[:, :1], attn_mask=mask, scale=0.3, enable_gqa=True)


def scattered(x: torch.Tensor, at: torch.Tensor) -> torch.Tensor:
    before = torch.full((x.shape[0], 4), 0.5)
    return torch.cat(
        [before.scatter_reduce(1, at, x, "mean", include_self=inclusive) for inclusive in (True, False)], 1
    )


def masks(kind: str, length: int) -> torch.Tensor:
    """One item that sees all, one of which the middle query sees nothing."""
    seen = torch.ones(2, 1, length, length, dtype=torch.bool)
    seen[1, :, length // 2] = False
    return seen if kind == "bool" else torch.where(seen, 0.0, -math.inf)


PAIR = ({0: torch.export.Dim.AUTO, 2: torch.export.Dim.AUTO},) * 2
QUERIES = ({2: torch.export.Dim.AUTO}, {2: torch.export.Dim.AUTO, 3: torch.export.Dim.AUTO})
CASES = {
    "average": (
        lambda x, y: F.adaptive_avg_pool2d(x, (3, 5)),
        lambda n: (floats(1, 2, n, n + 2), floats(1)),
        ({2: torch.export.Dim.AUTO, 3: torch.export.Dim.AUTO}, None),
    ),
    "average_1d": (
        lambda x, y: F.adaptive_avg_pool1d(x, 4),
        lambda n: (floats(1, 2, n), floats(1)),
        ({2: torch.export.Dim.AUTO}, None),
    ),
    "maximum": (
        lambda x, y: F.adaptive_max_pool2d(x, (2, 3)),
        lambda n: (floats(1, 2, n, n + 2), floats(1)),
        ({2: torch.export.Dim.AUTO, 3: torch.export.Dim.AUTO}, None),
    ),
    "bool_mask": (attention, lambda n: (floats(2, 2, n, 4), masks("bool", n)), QUERIES),
    "float_mask": (attention, lambda n: (floats(2, 2, n, 4), masks("float", n)), QUERIES),
    "grouped_heads": (grouped, lambda n: (floats(2, 2, n, 4), masks("bool", n)), QUERIES),
    "mean": (
        scattered,
        lambda n: (floats(2, n), torch.arange(n).expand(2, n) % 3),
        ({1: torch.export.Dim.AUTO}, {1: torch.export.Dim.AUTO}),
    ),
}


@pytest.mark.parametrize("name", CASES)
def test_a_replacement_answers_as_the_operator_does(name: str) -> None:
    function, make, free = CASES[name]
    exported = torch.export.export(Applied(function), make(12), dynamic_shapes=free)
    changed = decomposed(exported, FOR_ONNX)
    assert not any(node.target in FOR_ONNX for node in changed.graph.nodes)
    for size in (12, 13, 7, 25, 2):
        feed = make(size)
        assert torch.allclose(changed.module(check_guards=False)(*feed), function(*feed), atol=1e-6), size


def test_an_operator_that_is_right_stays() -> None:
    def function(x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
        return F.adaptive_avg_pool2d(x, 1) + F.adaptive_avg_pool2d(y, (2, 3)).mean()

    exported = torch.export.export(
        Applied(function), (floats(1, 2, 8, 8), floats(1, 2, 8, 8)), dynamic_shapes=({2: torch.export.Dim.AUTO}, None)
    )
    assert decomposed(exported, FOR_ONNX) is exported
    attending = torch.export.export(
        Applied(lambda x, y: F.scaled_dot_product_attention(x, y, y)), (floats(1, 2, 8, 4), floats(1, 2, 8, 4))
    )
    assert decomposed(attending, FOR_ONNX) is attending


class All(torch.nn.Module):
    """Every operator at once."""

    def forward(self, x: torch.Tensor, mask: torch.Tensor) -> dict[str, torch.Tensor]:
        seen = attention(x, mask)
        return {
            "attention": seen,
            "average": F.adaptive_avg_pool1d(x[:, 0], 3),
            "maximum": F.adaptive_max_pool2d(x, (3, 2)),
            "mean": torch.zeros(x.shape[0], 2, 3, 4).scatter_reduce(
                2, (torch.arange(x.shape[2]) % 3)[:, None].expand_as(x), x, "mean", include_self=False
            ),
        }


def test_onnx_runtime_answers_as_torch_does_with_every_replacement(tmp_path: Path) -> None:
    examples = {"x": floats(2, 2, 12, 4).numpy(), "mask": masks("bool", 12).numpy()}
    graph = capture_graph(
        "model", All().eval(), examples, dims={"x": {0: "batch", 2: "time"}, "mask": {0: "batch", 2: "time", 3: "time"}}
    )
    target = targets.get("onnx")
    artifact = target.export(Program({"model": graph}), tmp_path, ExportOptions())
    with target.open(artifact, tmp_path, graph.signature) as runner:
        for size in (12, 7, 25):
            x, mask = floats(2, 2, size, 4), masks("bool", size)
            answered = runner.run({"x": x.numpy(), "mask": mask.numpy()})
            for name, wanted in All()(x, mask).items():
                assert np.abs(answered[name] - wanted.numpy()).max() < 1e-5, (name, size)
