"""torch as it has to be while a model is run for reference, captured or exported; as it was before, afterwards."""

from __future__ import annotations

import typing
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import cache
from typing import Any

import torch

_FUSED: list[bool] = []
"""Not empty inside `fused_attention`."""


@contextmanager
def fused_attention() -> Iterator[None]:
    """Inside, `plain_attention` does nothing: torch answers as it does for whoever calls the model."""
    _FUSED.append(True)
    try:
        yield
    finally:
        _FUSED.pop()


@contextmanager
def plain_attention() -> Iterator[None]:
    """Transformer layers as they were trained: torch's fused inference path is one operator that no runtime has, and it
    answers zeros, or a shorter tensor, where a padding mask leaves something out.

    Nor do the layers look into a mask to see whether it is the causal one: the mask is applied either way.
    """
    from torch.nn.modules import transformer

    if _FUSED:
        yield
        return
    before, detect = torch.backends.mha.get_fastpath_enabled(), transformer._detect_is_causal_mask
    torch.backends.mha.set_fastpath_enabled(False)
    transformer._detect_is_causal_mask = _is_said_causal
    try:
        yield
    finally:
        torch.backends.mha.set_fastpath_enabled(before)
        transformer._detect_is_causal_mask = detect


def _is_said_causal(mask: torch.Tensor | None, is_causal: bool | None = None, size: int | None = None) -> bool:
    return bool(is_causal)


@contextmanager
def exporting() -> Iterator[None]:
    """While torch.export, or an exporter that starts from its programs, works: plain attention, and recurrent layers as
    one operator each, whose shapes are told without running the loop over time.

    torch learns the shapes of `aten.lstm` and its like by unrolling it over the example's length, which fixes that
    length; the operator itself takes any. Nor is a grid's size taken from the example.
    """
    from torch._decomp import decomposition_table as table
    from torch._export.utils import _collect_all_valid_cia_ops_for_aten_namespace as operators

    operators()  # once, before any child is forked: all are looked up whenever a program is decomposed
    written = dict.fromkeys(_recurrent(), _told) | {torch.ops.aten.affine_grid_generator.default: _of_any_size}
    before = {operator: dict(operator.py_kernels) for operator in written}
    written_out = {operator: table[operator] for operator in before if operator in table}
    for operator, kernels in before.items():
        _set_kernels(operator, {key: written[operator](kernel) for key, kernel in kernels.items()})
    table.update({operator: written[operator](decomposition) for operator, decomposition in written_out.items()})
    try:
        with plain_attention(), _annotations_kept(), _operators_looked_up_once():
            yield
    finally:
        table.update(written_out)
        for operator, kernels in before.items():
            _set_kernels(operator, kernels)


@contextmanager
def _annotations_kept() -> Iterator[None]:
    """torch evaluates `Callable[P, T]`, which annotates a nested function, for twenty keys of each of a hundred
    operators whenever a program is decomposed: a quarter of the time that takes. `typing` keeps what it made of it.
    """
    operators: Any = torch._ops
    before, operators.Callable = operators.Callable, typing.Callable
    try:
        yield
    finally:
        operators.Callable = before


@contextmanager
def _operators_looked_up_once() -> Iterator[None]:
    """torch looks up every operator of its dispatcher for each of its thirty namespaces whenever a program is
    decomposed; once for all of them is enough.
    """
    from torch._export import utils
    from torch.export import decomp_utils, exported_program

    collect, look_up = _torchs_own()

    def collected() -> set[Any]:
        look_up()
        utils._materialize_cpp_cia_ops = _nothing
        try:
            return collect()
        finally:
            utils._materialize_cpp_cia_ops = look_up

    modules: tuple[Any, ...] = (decomp_utils, exported_program)
    for module in modules:
        module._collect_all_valid_cia_ops = collected
    try:
        yield
    finally:
        for module in modules:
            module._collect_all_valid_cia_ops = collect


@cache
def _torchs_own() -> tuple[Callable[[], set[Any]], Callable[[], None]]:
    """What collects operators and what looks them up, whatever stands for them now."""
    from torch._export import utils

    return utils._collect_all_valid_cia_ops, utils._materialize_cpp_cia_ops


def _nothing() -> None:
    """There is nothing more to look up."""


def _of_any_size(fixed: Callable[..., Any]) -> Callable[..., Any]:
    """The points of a grid for pictures of a free size; torch writes the example's into the program."""

    def grid(theta: torch.Tensor, size: Sequence[Any], align_corners: bool) -> torch.Tensor:
        def points(many: Any) -> torch.Tensor:
            at = torch.arange(many, dtype=theta.dtype, device=theta.device)
            found: torch.Tensor = at * 2 / (many - 1) - 1 if align_corners and many != 1 else (at * 2 + 1) / many - 1
            return found

        axes = [points(many) for many in reversed(size[2:])]
        shape = list(size[2:])
        base = [
            axis.view([-1 if place == len(shape) - 1 - number else 1 for place in range(len(shape))]).expand(shape)
            for number, axis in enumerate(axes)
        ]
        joined = torch.stack([*base, torch.ones_like(base[0])], -1)
        flat = joined.reshape(1, -1, len(axes) + 1) @ theta.transpose(1, 2)
        return flat.reshape([size[0], *shape, len(axes)])

    return grid


def _recurrent() -> list[Any]:
    aten = torch.ops.aten
    return [aten.lstm.input, aten.gru.input, aten.rnn_tanh.input, aten.rnn_relu.input]


def _set_kernels(operator: Any, kernels: dict[Any, Any]) -> None:
    operator.py_kernels.clear()
    operator.py_kernels.update(kernels)
    operator._dispatch_cache.clear()


def _told(unrolled: Callable[..., Any]) -> Callable[..., Any]:
    """The shapes of a recurrent operator; the operators it is made of, where a program is to be written in those."""

    def told(x: torch.Tensor, state: Any, *settings: Any) -> tuple[torch.Tensor, ...]:
        """`settings` are the operator's: weights, biases, layers, dropout, train, both ways, batch first."""
        from torch.fx.experimental.proxy_tensor import get_proxy_mode

        both_ways, batch_first = settings[5:7]
        if get_proxy_mode() is not None:
            if isinstance(x.shape[1 if batch_first else 0], torch.SymInt):
                raise NotImplementedError("a recurrent layer (LSTM, GRU, RNN) over a free number of steps")
            return unrolled(x, state, *settings)  # type: ignore[no-any-return]
        states = [state] if isinstance(state, torch.Tensor) else list(state)
        output = x.new_empty((x.shape[0], x.shape[1], (2 if both_ways else 1) * states[0].shape[2]))
        return output, *(torch.empty_like(one) for one in states)

    return told


@contextmanager
def direct() -> Iterator[None]:
    """While a module runs: torch.cond and loops run their branches as they are. torch would compile them first, which
    takes seconds and fails under a mode that looks on.
    """
    from torch._higher_order_ops import utils

    before = utils._hop_compile_and_call
    utils._hop_compile_and_call = lambda fn, args, kwargs=None: fn(*args, **(kwargs or {}))
    try:
        yield
    finally:
        utils._hop_compile_and_call = before
