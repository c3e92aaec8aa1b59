"""Deploy small modules without timing them, open what was kept, and hold it against eager PyTorch where deploying did
not look.
"""

from __future__ import annotations

import copy
import sys
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from masked_modules import Masked
from small_modules import Small

from torchport.deployment.explore import explore
from torchport.deployment.request import Request
from torchport.errors import TorchportError

sys.path.append(str(Path(__file__).resolve().parents[1]))

from held import Feed, eager, held, random_feed

TARGETS = ("onnx", "torchscript", "pt2", "openvino", "executorch", "mobile")


@dataclass(frozen=True)
class Found:
    """What became of one module on one target: `right`, `refused` before anything was written, `bounded` at some sizes,
    or `wrong`.
    """

    module: str
    target: str
    verdict: str
    why: str = ""


def feeds_of(one: Small | Masked) -> Iterator[tuple[str, Feed]]:
    """Feeds of sizes, or of masks, that deploying does not try."""
    rng = np.random.default_rng(7)
    if isinstance(one, Small):
        for sizes in one.sizes:
            yield " ".join(f"{dim}={size}" for dim, size in sizes.items()), random_feed(rng, one.inputs, sizes)
        return
    for batch, time in ((1, 9), (4, 5), (3, 18)):
        feed = random_feed(rng, one.inputs, {"batch": batch, "time": time})
        mask = np.full(feed["mask"].shape, one.keep, feed["mask"].dtype)
        yield f"batch={batch} time={time}, nothing masked", {**feed, "mask": mask}
        some = np.where(rng.random(mask.shape) < 0.4, mask.dtype.type(one.out), mask)
        some[-1] = one.out
        yield f"batch={batch} time={time}, the last row all masked", {**feed, "mask": some}


def sweep(name: str, one: Small | Masked, wanted: Sequence[str] = TARGETS) -> list[Found]:
    """Deploy one module to some targets, and try each artefact that was kept."""
    torch.manual_seed(0)
    module = one.make().eval()
    answered = [(what, feed, eager(module, feed)) for what, feed in feeds_of(one)]
    with tempfile.TemporaryDirectory(prefix="torchport-") as scratch:
        folder = Path(scratch)
        request = Request(
            copy.deepcopy(module),
            folder / "x.tport",
            task="tensor",
            inputs=one.inputs,
            targets=list(wanted),
            recipes=["fp32"],
        )
        try:
            tried = explore(request, folder / "out", folder / "log", lambda stage, detail: None)
        except TorchportError as exc:
            return [Found(name, target, "refused", str(exc)) for target in wanted]
        found = []
        for candidate in tried.candidates:
            if candidate.status != "ok":
                found.append(Found(name, candidate.target, "refused", candidate.reason or ""))
                continue
            artifact = tried.artifacts[candidate.id]
            kept = held(artifact, folder / "out" / candidate.id, tried.assembled.graphs["model"], answered)
            found.append(Found(name, candidate.target, kept.verdict, kept.why))
        return found
