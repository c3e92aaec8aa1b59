"""Shared by the tests of single targets."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import nn

from torchport.frontend.program import GraphProgram, Program, flatten_outputs
from torchport.targets import targets
from torchport.targets.base import ExportOptions
from torchport.targets.shared.runner import Runner
from torchport.types import Artifact, Signature, TensorSpec


def program_of(module: nn.Module, *args: torch.Tensor, names: tuple[str, ...] = ("x",)) -> Program:
    """A module captured at fixed shapes."""

    def spec(name: str, tensor: torch.Tensor) -> TensorSpec:
        return TensorSpec(name=name, dtype=str(tensor.dtype).removeprefix("torch."), shape=tuple(tensor.shape))

    for parameter in module.eval().parameters():
        parameter.requires_grad_(False)
    outputs = flatten_outputs(module(*args))
    signature = Signature(
        inputs=tuple(spec(n, t) for n, t in zip(names, args, strict=True)),
        outputs=tuple(spec(n, t) for n, t in outputs.items()),
    )
    examples = {name: tensor.numpy() for name, tensor in zip(names, args, strict=True)}
    exported = None if isinstance(module, torch.jit.ScriptModule) else torch.export.export(module, args)
    return Program({"model": GraphProgram("model", signature, examples, exported, module)})


def export(name: str, program: Program, folder: Path, precision: str = "fp32") -> Artifact:
    folder.mkdir(parents=True, exist_ok=True)
    return targets.get(name).export(program, folder, ExportOptions(precision=precision))


def open_it(name: str, program: Program, folder: Path, artifact: Artifact, **how: object) -> Runner:
    return targets.get(name).open(artifact, folder, program.graphs["model"].signature, **how)  # type: ignore[arg-type]
