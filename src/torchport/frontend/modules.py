"""A user's module made ready: a copy where it is theirs, without what wrapped it for training, in float32 (build
half).
"""

from __future__ import annotations

import copy
from collections.abc import Iterator
from typing import Any

import torch

from ..errors import CaptureError, first_line

HALVES = (torch.float16, torch.bfloat16)


def copied(module: torch.nn.Module) -> torch.nn.Module:
    """A copy on the CPU; the caller's module stays as it is.

    Tensors that a forward pass left in attributes (a weight that a hook of weight_norm or spectral_norm computes, a
    kept state) belong to that pass's graph, which torch refuses to copy: their values are copied without it.

    Raises:
        CaptureError: something in it cannot be copied.
    """
    memo: dict[int, Any] = {}
    for part in module.modules():
        for tensor in _tensors(list(vars(part).values()), 0):
            if not tensor.is_leaf:
                memo[id(tensor)] = tensor.detach().clone()
    try:
        made = copy.deepcopy(module, memo)
        return made if any(tensor.is_meta for tensor in made.parameters()) else made.cpu()
    except Exception as exc:  # whatever the user keeps in it: locks, files, generators
        raise CaptureError(
            f"{type(module).__name__} cannot be copied: {first_line(exc)}",
            "give what builds it instead, as file.py:Name, with --weights; or take that attribute off it",
        ) from exc


def unwrapped(module: torch.nn.Module) -> torch.nn.Module:
    """The model inside torch.compile, DataParallel, DistributedDataParallel or AveragedModel, which only training
    needs.
    """
    while True:
        inner = getattr(module, "_orig_mod", None)
        if isinstance(
            module,
            torch.nn.DataParallel | torch.nn.parallel.DistributedDataParallel | torch.optim.swa_utils.AveragedModel,
        ):
            inner = module.module
        if not isinstance(inner, torch.nn.Module):
            return module
        module = inner


def in_float32(module: torch.nn.Module) -> str:
    """Make a half-precision model compute in float32, which every target has; its values stay what they are.

    Returns:
        What is to be said of it; empty where no parameter is in half precision.
    """
    halves = [parameter for parameter in module.parameters() if parameter.dtype in HALVES]
    if not halves:
        return ""
    was = str(halves[0].dtype).removeprefix("torch.")
    module.float()
    for part in module.modules():  # where forward itself says .half(), the next layer widens again
        if part is module or any(True for _ in part.parameters(recurse=False)):
            part.register_forward_pre_hook(_floats, with_kwargs=True)
    return f"the model is {was}: its weights run as float32, and inputs of {was} are taken as float32"


def _floats(
    module: torch.nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]
) -> tuple[tuple[Any, ...], dict[str, Any]]:
    """Inputs of half precision, which the model as written took, in float32."""

    def widened(value: Any) -> Any:
        return value.float() if isinstance(value, torch.Tensor) and value.dtype in HALVES else value

    return tuple(map(widened, args)), {key: widened(value) for key, value in kwargs.items()}


def _tensors(values: list[Any], depth: int) -> Iterator[torch.Tensor]:
    """Tensors among values, and in lists, tuples and dicts of them."""
    for value in values:
        if isinstance(value, torch.Tensor):
            yield value
        elif isinstance(value, dict) and depth < 4:
            yield from _tensors(list(value.values()), depth + 1)
        elif isinstance(value, list | tuple) and depth < 4:
            yield from _tensors(list(value), depth + 1)
