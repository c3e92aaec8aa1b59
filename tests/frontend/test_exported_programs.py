"""What is captured of a program that `torch.export` made already."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from test_ladder import Many, Net, Picture, floats, same, shapes
from torch import nn

from torchport.errors import CaptureError
from torchport.frontend.binding import program_inputs
from torchport.frontend.ladder import capture_graph
from torchport.frontend.program import flatten_outputs
from torchport.frontend.source import open_source
from torchport.types import Bound


def exported(
    tmp_path: Path, model: nn.Module, args: tuple, kwargs: dict | None = None, **options: object
) -> torch.export.ExportedProgram:
    path = tmp_path / "net.pt2"
    torch.export.save(torch.export.export(model.eval(), args, kwargs, **options), path)
    program = open_source(str(path)).exported
    assert program is not None
    return program


def test_an_exported_program_names_its_dimensions(tmp_path: Path) -> None:
    model = Picture()
    program = exported(
        tmp_path,
        model,
        (torch.zeros(2, 3, 20, 20),),
        dynamic_shapes=({0: torch.export.Dim("n", max=16), 2: torch.export.Dim.AUTO},),
    )
    graph = capture_graph("model", program, {"": floats(2, 3, 20, 20)})
    assert shapes(graph)[0] == {"x": ("float32", "batch", 3, "x_2", 20)}
    assert graph.signature.dims["batch"] == Bound(min=1, max=16)
    assert graph.exported is program
    assert graph.module is None
    same(graph, model, {"x": floats(1, 3, 24, 20)})
    with pytest.raises(CaptureError, match="fixes dimension 3 of 'x' at 20, 'w' cannot vary"):
        capture_graph("model", program, {"x": floats(2, 3, 20, 20)}, dims={"x": {3: "w"}})


def test_an_exported_program_of_fixed_batch_gets_examples_of_that_batch(tmp_path: Path) -> None:
    program = exported(tmp_path, Net(), (torch.zeros(1, 10),))
    graph = capture_graph("model", program, {"x": floats(2, 10)})
    assert graph.examples["x"].shape == (1, 10)
    assert graph.signature.inputs[0].shape == (1, 10)
    with pytest.raises(CaptureError, match=r"takes 'x' as float32\[1, 10\]; there is float32\[2, 7\]"):
        capture_graph("model", program, {"x": floats(2, 7)})


def test_an_exported_program_with_keywords_and_constants_becomes_positional(tmp_path: Path) -> None:
    args, kwargs = (
        (torch.zeros(2, 3, dtype=torch.int64), torch.ones(2, 3, dtype=torch.bool), torch.zeros(9, 4), 3.0),
        {"shift": torch.zeros(2, 1, 4)},
    )
    batch = torch.export.Dim.AUTO
    program = exported(
        tmp_path,
        Many(),
        args,
        kwargs,
        dynamic_shapes={"ids": {0: batch}, "mask": {0: batch}, "table": None, "scale": None, "shift": {0: batch}},
    )
    feed = {
        "ids": np.arange(6).reshape(2, 3),
        "mask": np.ones((2, 3), bool),
        "table": floats(9, 4),
        "shift": floats(2, 1, 4),
    }
    graph = capture_graph("model", program, feed)
    assert [spec.name for spec in graph.signature.inputs] == ["ids", "mask", "table", "shift"]
    got = flatten_outputs(graph.callable()(*graph.args()))["rows"]
    torch.testing.assert_close(
        got,
        Many()(
            *(torch.from_numpy(feed[n]) for n in ("ids", "mask", "table")), 3.0, shift=torch.from_numpy(feed["shift"])
        )["rows"],
    )


def test_a_derived_dimension_of_a_program_is_bounded(tmp_path: Path) -> None:
    height = torch.export.Dim("h", min=2, max=64)
    program = exported(tmp_path, nn.AvgPool2d(2), (torch.zeros(2, 3, 32, 32),), dynamic_shapes=({2: 16 * height},))
    graph = capture_graph("model", program, {"": floats(2, 3, 32, 32)})
    name = graph.signature.inputs[0].shape[2]
    assert isinstance(name, str)
    assert graph.signature.dims[name] == Bound(min=32, max=1024, multiple=16)
    sizes = [
        size
        for one in program_inputs(graph.need_exported("onnx"))
        for size in one.value.shape
        if not isinstance(size, int)
    ]
    assert all(size.node.expr.is_Symbol for size in sizes), "converters read symbols, not arithmetic"
