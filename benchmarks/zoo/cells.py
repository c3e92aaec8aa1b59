"""One architecture on every target: captured, exported, held against eager PyTorch at other sizes; and the plain
exporters beside it.
"""

from __future__ import annotations

import math
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from architecture import Architecture
from held import Feed, Held, eager, held, random_feed
from plain import EXPORTERS, plain

from torchport.deployment.explore import Explored, explore
from torchport.deployment.request import Request
from torchport.errors import TorchportError
from torchport.frontend.inputs import made_up, parse
from torchport.system import isolate
from torchport.types import Candidate

LIMIT_S = 300.0
ALWAYS = "pt2"
"""The target that is tried whatever is asked for: deploying fails where nothing at all can be made."""


@dataclass(frozen=True)
class Cell:
    """One architecture on one target.

    Attributes:
        status: `ok`, `failed`, or `absent` where the target does not work on this machine.
        max_rel: the greatest difference over the greatest value; None where nothing ran.
        stage: where it failed: capture, export, open, run, mismatch.
        rung: of capture's ladder.
        rewrites: what had to be written otherwise for the target.
        diagnosis: why it is not ok.
        plain: what became of the plain exporter's call.
        seconds: that the whole architecture took, over the number of its cells.
    """

    model: str
    family: str
    target: str
    status: str
    max_rel: float | None = None
    stage: str = ""
    rung: str = ""
    rewrites: Sequence[str] = ()
    diagnosis: str = ""
    plain: str = ""
    seconds: float = 0.0


def feeds_of(one: Architecture) -> Iterator[tuple[str, Feed]]:
    """Feeds of sizes that deploying does not try."""
    rng = np.random.default_rng(7)
    for sizes in one.sizes:
        yield " ".join(f"{dim}={size}" for dim, size in sizes.items()), random_feed(rng, one.inputs, sizes)


def cells(name: str, one: Architecture, wanted: Sequence[str]) -> list[Cell]:
    """What became of one architecture on some targets, beside the plain exporters."""
    start = time.monotonic()
    module, specs = one.built(), parse(one.inputs)
    answered = _answered(one, module)
    with tempfile.TemporaryDirectory(prefix="torchport-") as scratch:
        folder = Path(scratch)
        found = _ours(name, one, module, wanted, answered, folder)
        module.train(one.train)
        told = {
            target: plain(target, module, specs, made_up(specs), answered, folder)
            for target in wanted
            if target in EXPORTERS
        }
    took = round((time.monotonic() - start) / len(wanted), 1)
    return [replace(cell, plain=told.get(cell.target, "not tried"), seconds=took) for cell in found]


def ours(name: str, one: Architecture, wanted: Sequence[str]) -> list[Cell]:
    """What became of one architecture on some targets."""
    module = one.built()
    with tempfile.TemporaryDirectory(prefix="torchport-") as scratch:
        return _ours(name, one, module, wanted, _answered(one, module), Path(scratch))


def _answered(one: Architecture, module: torch.nn.Module) -> list[tuple[str, Feed, Feed | None]]:
    found = [(what, feed, eager(module.eval(), feed)) for what, feed in feeds_of(one)]
    module.train(one.train)
    return found


def _ours(
    name: str,
    one: Architecture,
    module: torch.nn.Module,
    wanted: Sequence[str],
    answered: list[tuple[str, Feed, Feed | None]],
    folder: Path,
) -> list[Cell]:
    request = Request(
        module,
        folder / "x.tport",
        task="tensor",
        inputs=one.inputs,
        targets=[*wanted, *({ALWAYS} - {*wanted})],
        recipes=["fp32"],
        limit_s=LIMIT_S,
    )
    try:
        tried = explore(request, folder / "out", folder / "log", lambda stage, detail: None)
    except TorchportError as exc:
        return [Cell(name, one.family, target, "failed", stage="capture", diagnosis=exc.message) for target in wanted]
    kept = [candidate for candidate in tried.candidates if candidate.target in wanted]
    return [_cell(name, one, tried, candidate, answered, folder) for candidate in kept]


def _cell(
    name: str,
    one: Architecture,
    tried: Explored,
    candidate: Candidate,
    answered: list[tuple[str, Feed, Feed | None]],
    folder: Path,
) -> Cell:
    rung = tried.assembled.program.graphs["model"].rung
    if candidate.status not in ("ok", "unverified"):
        return Cell(
            name,
            one.family,
            candidate.target,
            "absent" if candidate.status == "absent" else "failed",
            stage=candidate.failed_at or "",
            rung=rung,
            diagnosis=candidate.reason or "",
        )
    artifact = tried.artifacts[candidate.id]
    rewrites = [name for graph in artifact.graphs.values() for name in graph.rewrites]
    if candidate.status == "unverified":
        return Cell(
            name, one.family, candidate.target, "ok", None, "", rung, rewrites, f"converted only: {candidate.reason}"
        )
    what = f"the run by {candidate.target}"
    try:  # in a process of its own: no runtime's threads may live on in one that is forked again
        kept = isolate.call(
            held,
            artifact,
            folder / "out" / candidate.id,
            tried.assembled.graphs["model"],
            answered,
            log=folder / "log",
            limit_s=LIMIT_S,
            what=what,
        )
    except TorchportError as exc:
        kept = Held("wrong", exc.message, math.inf)
    return Cell(
        name,
        one.family,
        candidate.target,
        "ok" if kept.verdict == "right" else "failed",
        kept.gap if math.isfinite(kept.gap) else None,
        "" if kept.verdict == "right" else "mismatch" if kept.verdict == "wrong" else "run",
        rung,
        rewrites,
        kept.why,
    )
