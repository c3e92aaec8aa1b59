"""What is particular to the torchscript target; the rest is in the conformance suite."""

from __future__ import annotations

import zipfile
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest
import torch
from torch import nn

from torchport.errors import UnsupportedByTarget
from torchport.frontend.program import Program
from torchport.frontend.script import quiet_jit
from torchport.testing.toys import TOYS
from torchport.types import Bound, Signature, TensorSpec

from .helpers import export, open_it, program_of


class Pair(NamedTuple):
    first: torch.Tensor
    second: torch.Tensor


class Untyped(nn.Module):
    """Scripting fails on the keyword dictionary; tracing does not see it."""

    def forward(self, x: torch.Tensor) -> dict[str, object]:
        options = {"dim": 1}
        return {"nested": {"sum": x.sum(**options)}, "both": Pair(x + 1, x * 2)}


class Branches(nn.Module):
    """Branches on the size of its input, in a way that scripting refuses and tracing misses."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        options = {"other": 2 if x.shape[0] > 2 else 3}
        return torch.mul(x, **options)


def with_batch(program: Program) -> Program:
    """The same program, said to take any batch."""
    graph = program.graphs["model"]

    def free(spec: TensorSpec) -> TensorSpec:
        return TensorSpec(name=spec.name, dtype=spec.dtype, shape=("batch", *spec.shape[1:]))

    signature = Signature(
        inputs=tuple(map(free, graph.signature.inputs)),
        outputs=tuple(map(free, graph.signature.outputs)),
        dims={"batch": Bound()},
    )
    return Program({"model": replace(graph, signature=signature)})


def test_scripted_where_the_compiler_understands_it(tmp_path: Path) -> None:
    assert export("torchscript", TOYS["mlp"].program(), tmp_path).notes == ()


def test_traced_where_scripting_fails_with_every_output_named(tmp_path: Path) -> None:
    program = program_of(Untyped(), torch.rand(2, 3))
    artifact = export("torchscript", program, tmp_path)
    assert [note.partition(" ")[0] for note in artifact.notes] == ["traced"]
    x = np.arange(6, dtype=np.float32).reshape(2, 3)
    with open_it("torchscript", program, tmp_path, artifact) as runner:
        answer = runner.run({"x": x})
    assert list(answer) == ["nested.sum", "both.first", "both.second"]
    assert np.array_equal(answer["nested.sum"], x.sum(1))
    assert np.array_equal(answer["both.second"], x * 2)


def test_a_trace_that_holds_for_the_example_only_is_refused(tmp_path: Path) -> None:
    program = with_batch(program_of(Branches(), torch.rand(2, 3)))
    with pytest.raises(UnsupportedByTarget, match=r"trace: 'output_0' differs at input \[4, 3\]"):
        export("torchscript", program, tmp_path)


def test_from_an_exported_program_alone_small_networks_are_traced(tmp_path: Path) -> None:
    toy = TOYS["mlp"]
    graph = toy.program().graphs["model"]
    program = Program({"model": replace(graph, module=None)})
    artifact = export("torchscript", program, tmp_path)
    with open_it("torchscript", program, tmp_path, artifact) as runner:
        np.testing.assert_allclose(runner.run(toy.feed())["output_0"], toy.expected(toy.feed())["output_0"], atol=1e-6)


def test_from_an_exported_program_alone_a_frozen_size_is_refused_with_the_way_out(tmp_path: Path) -> None:
    class Flattens(nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return x.reshape(x.shape[0] * 3, 4).sum(1).reshape(x.shape[0], 3)

    exported = torch.export.export(Flattens(), (torch.rand(2, 3, 4),), dynamic_shapes=({0: torch.export.Dim("batch")},))
    graph = with_batch(program_of(Flattens(), torch.rand(2, 3, 4))).graphs["model"]
    with pytest.raises(UnsupportedByTarget, match="needs the module or fixed shapes"):
        export("torchscript", Program({"model": replace(graph, exported=exported, module=None)}), tmp_path)


def test_what_the_process_compiled_before_leaves_no_trace(tmp_path: Path) -> None:
    program = TOYS["conv"].program()
    export("torchscript", program, tmp_path / "a")
    with quiet_jit():
        for _ in range(3):
            torch.jit.script(nn.Sequential(nn.Linear(2, 2)))
            torch.jit.trace(TOYS["conv"].module(), program.graphs["model"].args())  # type: ignore[no-untyped-call]
    export("torchscript", program, tmp_path / "b")
    assert (tmp_path / "a" / "model.pt").read_bytes() == (tmp_path / "b" / "model.pt").read_bytes()


def test_libtorch_finds_frozen_code_without_debug_records(tmp_path: Path) -> None:
    toy = TOYS["conv"]
    export("torchscript", toy.program(), tmp_path)
    with zipfile.ZipFile(tmp_path / "model.pt") as archive:
        assert not [name for name in archive.namelist() if name.endswith(".debug_pkl")]
    with quiet_jit():
        module = torch.jit.load(tmp_path / "model.pt")  # type: ignore[no-untyped-call]
    assert not list(module.parameters())
    x = next(iter(toy.feed().values()))
    np.testing.assert_allclose(
        module(torch.tensor(x)).numpy(), next(iter(toy.expected(toy.feed()).values())), atol=1e-5
    )
