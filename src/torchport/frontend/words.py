"""What torch's capture says, in words for whoever wrote the model: no names of its inner parts, symbols or proxies."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import TYPE_CHECKING

from ..errors import first_line
from .blame import place_of

if TYPE_CHECKING:
    from .nature import Watched

PAD = (
    "do not pack: run the recurrent layer on the padded batch, mask what lies beyond each length, and gather the last "
    "valid step"
)
_PACKED = "packed sequences are not tensors that a graph can carry"
DECIDES = "forward decides by a tensor's value"

_DRAWS = "a torch.Generator is no tensor that a graph can carry"

_MEANINGS = (
    (r"torch\._C\.Generator|GeneratorVariable", _DRAWS),
    (r"packed|PackedSequence|_pack_padded_sequence|_pad_packed_sequence", _PACKED),
    (r"data-dependent|Data-dependent|GuardOnDataDependent|DataDependentOutput|_local_scalar_dense|freeze a Python "
     "value", DECIDES),
    (r"DynamicOutputShape|dynamic shape operator", "an operator's answer has a size that the data decides"),
    (r"no (fake|meta) (impl|kernel)|Cannot find.*(fake|meta)|UnsupportedOperator|missing.*(fake|meta) "
     r"(impl|kernel)|Operator does not support running with fake tensors",
     "an operator of an extension does not tell the shapes of its answer"),
    (r"FakeTensor|fake tensor|FunctionalTensor|ProxyTensor|Proxy\(|SymInt|SymFloat|SymBool",
     "forward takes a tensor's shape or value where torch.export knows none"),
    (r"Constraint|specialized|specialization", "forward fixes a size"),
    (r"skipped|Unsupported|builtin|graph break|not supported by dynamo|Dynamo",
     "forward's Python is beyond what torch.export reads"),
)  # fmt: skip

_INNER = re.compile(r"\b([us]\d+|L__self__\w*|_orig_mod\.?|FakeTensor\S*|GLOBAL\b|torch\._\w+(\.\w+)*)")


def plain(exc: BaseException) -> str:
    """Why a rung of capture failed: what torch means where it is known, else its own first line."""
    said = f"{type(exc).__name__}: {exc}"
    for pattern, meaning in _MEANINGS:
        if re.search(pattern, said):
            return meaning
    return _INNER.sub("...", first_line(exc))


def said_by(exc: BaseException) -> str:
    """`plain`, with the line of the user's code where one was passed through."""
    place = place_of(exc)
    return f"{plain(exc)} (at {place})" if place else plain(exc)


def reasons(said: Mapping[str, str]) -> str:
    """What each rung that failed said, each reason once."""
    by_reason: dict[str, list[str]] = {}
    for rung, text in said.items():
        if rung == "batch":  # a note, not a failure
            continue
        by_reason.setdefault(text, []).append(rung)
    return "; ".join(f"{', '.join(rungs)}: {text}" for text, rungs in by_reason.items())


def hint_for(found: Watched | None) -> str:
    """The next step for a model that no rung takes, by what its eager run did."""
    if found and found.operators & {"_pack_padded_sequence", "_pad_packed_sequence"}:
        return PAD
    done = "decides" if found and found.decided else "does"
    return (
        f"compute with tensors what forward {done} in Python (torch.where for if, gather for an index), or leave that "
        "part out of the model"
    )


def only_scripted(said: Mapping[str, str], exc: BaseException) -> tuple[str, str]:
    """Why an exporter of TorchScript failed on a graph that only TorchScript captured, and the next step."""
    operator = re.search(r"(aten|prim|prims|onnx|quantized)::\w+", str(exc))
    because = f" ({text})" if (text := reasons(said)) else ""
    what = f"which has no form for {operator[0]}" if operator else f"which fails: {_INNER.sub('...', first_line(exc))}"
    hint = (
        PAD
        if _PACKED in because
        else "draw the numbers once, in __init__, into a buffer"
        if _DRAWS in because
        else "write that part with plain tensor operators so that torch.export captures it, or use the torchscript "
        "target"
    )
    return f"only through TorchScript{because}, {what}", hint
