"""The channels between two layers brought to one size, so that one step of 8 bits suits all of them.

What a layer's channel gives is divided by a number, and what the next layer multiplies that channel by is multiplied by
it: cross-layer equalisation (Nagel et al. 2019, "Data-free quantization through weight equalization and bias
correction", section 4.1). It holds wherever what lies between scales with its input: nothing, ReLU and its leaky kin,
pooling. Activations are rounded a tensor at a time here and weights a channel at a time, so it is activations' ranges
that are balanced against weights', as in SmoothQuant (Xiao et al. 2023), which does the same
for matrix multiplications. The numbers are powers of two: the answers in float32 stay as they were to the last bit.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from .pt2e import held

if TYPE_CHECKING:
    import torch
    from torch.fx import GraphModule, Node

MOST_CALLS = 64
"""Calls that ranges are found on: one that is missed only makes a balance less even."""

ROUNDS = 10
"""Times that all pairs are balanced, each shifting what its neighbours see."""


def equalised(model: GraphModule, calls: Sequence[Sequence[torch.Tensor]]) -> GraphModule:
    """An exported graph's module that answers the same, its channels balanced; the module itself where scales can move
    nowhere.

    Args:
        model: stays as it is.
        calls: arguments of calls, at least one; the first `MOST_CALLS` are watched.
    """
    if next(_pairs(model), None) is None:
        return model
    made = copy.deepcopy(model)  # an opened graph shares its weights with the graph
    _balance(made, list(_pairs(made)), calls[:MOST_CALLS])
    return made


@dataclass(frozen=True)
class _Pair:
    """Two layers and what lies between them.

    Attributes:
        given: node of the tensor that the second takes, its channels along `axis`.
        first: parameters of the first layer, [channels, ...] each.
        second: the second layer's weight, [outputs, channels / groups, ...].
        each: how many of the second's inputs come of one channel of the first: more than one where pictures were
        flattened between them.
    """

    given: Node
    axis: int
    first: Sequence[torch.Tensor]
    second: torch.Tensor
    groups: int
    each: int


def _pairs(model: GraphModule) -> Iterator[_Pair]:
    """Every two layers between which scales can move: each weight is used once, and what is between is used by the
    second alone.
    """
    for node in model.graph.nodes:
        if not (_convolves(node) or _multiplies(node)) or (weight := _own(model, node.args[1])) is None:
            continue
        given = source = node.args[0]
        axis = 1 if _convolves(node) else _rank(given) - 1
        each, at = 1, axis
        while len(source.users) == 1 and (times := _carries(source, at)):
            each, source = each * times, source.args[0]
        if len(source.users) == 1 and (first := _scaled(model, source, at)):
            yield _Pair(given, axis, first, weight, node.args[6] if len(node.args) > 6 else 1, each)


def _convolves(node: Node) -> bool:
    from torch import ops

    known = (ops.aten.conv1d.default, ops.aten.conv2d.default, ops.aten.conv3d.default)
    return node.target in known and _rank(node) == _rank(node.args[1])  # in batches


def _multiplies(node: Node) -> bool:
    from torch import ops

    return node.target is ops.aten.linear.default


def _carries(node: Node, axis: int) -> int:
    """How many channels of a node's result come of one channel of what it is given, where they scale with it; 0 where
    they do not.
    """
    from torch import ops

    aten = ops.aten
    alike = (
        aten.relu.default,
        aten.relu_.default,
        aten.leaky_relu.default,
        aten.leaky_relu_.default,
        aten.prelu.default,
        aten.dropout.default,
        aten.dropout_.default,
    )
    pools = (
        aten.max_pool1d.default,
        aten.max_pool2d.default,
        aten.avg_pool1d.default,
        aten.avg_pool2d.default,
        aten.adaptive_avg_pool2d.default,
    )
    if node.target in alike:
        return 1
    if axis != 1:
        return 0
    if node.target in pools or (node.target is aten.mean.dim and not {0, 1} & _over(node)):
        return 1
    if node.target in (aten.flatten.using_ints, aten.view.default, aten.reshape.default) and _flattens(node):
        return int(_sizes(node)[1] // _sizes(node.args[0])[1])
    return 0


def _scaled(model: GraphModule, node: Node, axis: int) -> Sequence[torch.Tensor]:
    """The parameters that scale a layer's answer along an axis; none where others use them too."""
    from torch import ops

    at = _rank(node) - 1 if _multiplies(node) else 1
    if at != axis or not (_multiplies(node) or _convolves(node) or node.target is ops.aten.batch_norm.default):
        return ()
    owned = [_own(model, one) for one in node.args[1:3] if one is not None]
    return [one for one in owned if one is not None] if all(one is not None for one in owned) else ()


def _own(model: GraphModule, node: Any) -> torch.Tensor | None:
    """A parameter that one node alone uses."""
    if getattr(node, "op", None) != "get_attr" or len(node.users) != 1:
        return None
    value: torch.Tensor = held(model, node)
    return value


def _sizes(node: Any) -> Any:
    return node.meta["val"].shape


def _rank(node: Any) -> int:
    return len(_sizes(node))


def _over(mean: Any) -> set[int]:
    """The axes that a mean is taken over."""
    rank = _rank(mean.args[0])
    return {axis % rank for axis in mean.args[1] or range(rank)}


def _flattens(node: Node) -> bool:
    """Whether it makes one axis of all but the first, in their order."""
    before, after = _sizes(node.args[0]), _sizes(node)
    return (
        len(after) == 2
        and bool(after[0] == before[0])
        and all(isinstance(size, int) for size in (*before[1:], after[1]))
    )


def _balance(model: GraphModule, pairs: Sequence[_Pair], calls: Sequence[Sequence[torch.Tensor]]) -> None:
    """Move scales between the layers of every pair until each channel's largest input and largest weight are alike."""
    import torch

    largest: dict[Node, torch.Tensor] = {}
    wanted = {pair.given: pair for pair in pairs}

    class Watched(torch.fx.Interpreter):
        def run_node(self, n: Node) -> Any:
            result = super().run_node(n)
            if n in wanted:
                seen = result.abs().movedim(wanted[n].axis, 0).flatten(1).amax(1).view(-1, wanted[n].each).amax(1)
                largest[n] = torch.maximum(largest[n], seen) if n in largest else seen
            return result

    with torch.no_grad():
        for call in calls:
            Watched(model).run(*call)
        for _ in range(ROUNDS):
            still = True
            for pair in pairs:
                grouped = pair.second.reshape(pair.groups, -1, *pair.second.shape[1:])
                weights = grouped.abs().transpose(1, 2).flatten(2).amax(2).view(-1, pair.each).amax(1)
                inputs = largest[pair.given]
                scale = torch.where(
                    (inputs > 0) & inputs.isfinite() & (weights > 0),
                    (inputs / weights).sqrt().log2().round().exp2(),
                    1.0,
                )
                if bool((scale == 1).all()):
                    continue
                still = False
                largest[pair.given] = inputs / scale
                for parameter in pair.first:
                    parameter.div_(scale.view(-1, *[1] * (parameter.dim() - 1)))
                spread = scale.repeat_interleave(pair.each).view(pair.groups, 1, -1, *[1] * (pair.second.dim() - 2))
                pair.second.copy_((grouped * spread).flatten(0, 1))
            if still:
                break
