"""What is done to a program on its way to ExecuTorch: operators that XNNPACK fails on in other words, and XNNPACK's own
passes without those that can find nothing in it.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import torch
    from torch.export import ExportedProgram

_LOOKS_FOR = {"ConvertToUpsampleBilinear2d": "upsample_bilinear2d", "ConvertToSDPAPass": "_softmax"}
"""Pass -> an operator that every pattern it looks for has in it."""


@contextlib.contextmanager
def needed_patterns_only() -> Iterator[None]:
    """Inside, a pass that looks for attention or for a resize makes its patterns only where the program may hold one.

    ExecuTorch captures the patterns in every process that lowers a program, which takes 4 s of processor time, most of
    the conversion of a small one.
    """
    from executorch.backends.xnnpack import _passes as passes

    with contextlib.ExitStack() as stack:
        for name, operator in _LOOKS_FOR.items():
            if (one := getattr(passes, name, None)) is not None:
                stack.callback(setattr, one, "call", one.call)
                one.call = _unless_missing(one, operator)
        yield


def _unless_missing(one: Any, operator: str) -> Any:
    """What a pass does; of a graph without the operator, what it does where it finds nothing."""
    from torch.fx.passes.infra.pass_base import PassResult

    look = one.call

    def call(self: Any, graph_module: torch.fx.GraphModule) -> Any:
        if any(f".{operator}." in str(node.target) for node in graph_module.graph.nodes):
            return look(self, graph_module)
        graph_module.recompile()
        return PassResult(super(one, self).call(graph_module).graph_module, True)

    return call


def rows_as_pictures(exported: ExportedProgram) -> ExportedProgram:
    """XNNPACK reshapes the rows of a convolution itself, and fails where more than one dimension is dynamic."""
    from ...frontend.fold import FLOATS, folded
    from ...frontend.simpler import ROWS_AS_PICTURES

    if not any(node.target in ROWS_AS_PICTURES for node in exported.graph.nodes):
        return exported
    return folded(exported.run_decompositions({**ROWS_AS_PICTURES}), FLOATS)


def writes_in_place(exported: ExportedProgram) -> bool:
    """Whether an operator changes one of the tensors that it is given."""
    import torch

    return any(
        isinstance(node.target, torch._ops.OpOverload) and node.target._schema.is_mutable
        for node in exported.graph.nodes
    )
