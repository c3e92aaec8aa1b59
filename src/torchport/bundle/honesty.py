"""Whether what runs is what was chosen: what runtimes say of themselves, held against the variant, in plain words."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from typing import Any

from ..system import machine
from ..types import PLAIN, Used
from .grammar import printable
from .manifest import Variant

INTEGER_SETS = ("avx_vnni", "avx512_vnni", "amx_int8", "neon_dotprod", "i8mm")
"""Instruction sets that multiply 8-bit integers."""

GENUINE = (None, PLAIN)
"""What a runtime may say of its precision where the variant is one of 32-bit floats."""


def findings(variant: Variant, used: Mapping[str, Used], made_on: Mapping[str, Any], device: str = "cpu") -> list[str]:
    """What is not as it was when the variant was chosen, a line each with what to do about it.

    Args:
        used: graph -> what really runs.
        made_on: the machine that the Bundle was made on, as its manifest says; not trusted.
        device: what was asked for.
    """
    return list(
        dict.fromkeys(
            [
                *_threads(variant, used),
                *_places(used, device),
                *_precisions(variant, used),
                *_versions(variant, used),
                *_integers(variant, made_on),
            ]
        )
    )


def _threads(variant: Variant, used: Mapping[str, Used]) -> list[str]:
    usable = machine.usable_cores()
    most = max((one.threads or 0 for one in used.values()), default=0)
    if most > usable:
        return [
            f"{most} threads on {usable} cores that this process may use: they wait for each other; "
            f"set --threads {usable}"
        ]
    if (variant.threads or 0) > usable:
        return [f"{variant.threads} threads were measured as the best, this process may use {usable} cores"]
    return []


def _places(used: Mapping[str, Used], device: str) -> list[str]:
    place, _, provider = device.partition("/")
    if place == "cpu" and not provider:
        return []
    return [
        f"graph {graph} runs on {one.provider}, where {device} was asked for: install that provider's libraries"
        for graph, one in used.items()
        if one.provider and (provider or place).partition(":")[0].lower() not in one.provider.lower()
    ]


def _precisions(variant: Variant, used: Mapping[str, Used]) -> list[str]:
    return [
        f"graph {graph} computes in {one.precision}, where {PLAIN} was verified: answers differ; use another variant, "
        "or verify this one here"
        for graph, one in used.items()
        if (variant.artifact.graphs[graph].precision or variant.artifact.precision) == PLAIN
        and one.precision not in GENUINE
    ]


def _versions(variant: Variant, used: Mapping[str, Used]) -> list[str]:
    for package, made in variant.artifact.requires.items():
        here = next((one.version for one in used.values() if one.library == package), None)
        if here is not None and machine.release(made) != machine.release(here):
            wanted = shlex.quote(f"{package}=={printable(made, 40).partition('+')[0]}")
            return [
                f"made with {package} {printable(made, 40)}, here it is {here}: `torchport verify` tells whether it "
                f"answers alike, pip install {wanted} brings the other"
            ]
    return []


def _integers(variant: Variant, made_on: Mapping[str, Any]) -> list[str]:
    if "int8" not in variant.artifact.precision:
        return []
    told = made_on.get("instruction_sets")
    then = told if isinstance(told, list | tuple) else ()
    here = machine.describe().instruction_sets
    lost = [name for name in INTEGER_SETS if name in then and name not in here]
    if not lost or any(name in here for name in INTEGER_SETS):
        return []
    return [
        f"8-bit integers were timed on a CPU with {', '.join(lost)}, which this one lacks: floats may be faster here; "
        "`torchport bench` tells"
    ]
