"""Deploy small modules without timing them, open what was kept, and hold it against eager PyTorch where deploying did
not look.
"""

from __future__ import annotations

import copy
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from masked_modules import Masked
from small_modules import Small

from torchport.deployment.explore import explore
from torchport.deployment.request import Request
from torchport.errors import BadInput, TorchportError
from torchport.frontend.inputs import parse
from torchport.frontend.program import flatten_outputs
from torchport.targets import targets
from torchport.types import Artifact, Signature

TARGETS = ("onnx", "torchscript", "pt2", "openvino", "executorch", "mobile")
FAR = 1e-3
"""Relative difference from which on an artefact is wrong."""

Feed = dict[str, np.ndarray]


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
            yield " ".join(f"{dim}={size}" for dim, size in sizes.items()), _random(rng, one.inputs, sizes)
        return
    for batch, time in ((1, 9), (4, 5), (3, 18)):
        feed = _random(rng, one.inputs, {"batch": batch, "time": time})
        mask = np.full(feed["mask"].shape, one.keep, feed["mask"].dtype)
        yield f"batch={batch} time={time}, nothing masked", {**feed, "mask": mask}
        some = np.where(rng.random(mask.shape) < 0.4, mask.dtype.type(one.out), mask)
        some[-1] = one.out
        yield f"batch={batch} time={time}, the last row all masked", {**feed, "mask": some}


def _random(rng: np.random.Generator, inputs: Sequence[str], sizes: Mapping[str, int]) -> Feed:
    feed = {}
    for spec in parse(inputs).tensors:
        shape = [sizes[dim] if isinstance(dim, str) else dim for dim in spec.shape]
        values = rng.integers(0, 2, shape) if spec.dtype == "bool" else rng.standard_normal(shape)
        feed[spec.name] = values.astype(spec.dtype)
    return feed


def sweep(name: str, one: Small | Masked, wanted: Sequence[str] = TARGETS) -> list[Found]:
    """Deploy one module to some targets, and try each artefact that was kept."""
    torch.manual_seed(0)
    module = one.make().eval()
    eager = [(what, feed, _eager(module, feed)) for what, feed in feeds_of(one)]
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
            found.append(
                Found(
                    name,
                    candidate.target,
                    *_tried(artifact, folder / "out" / candidate.id, tried.assembled.graphs["model"], eager),
                )
            )
        return found


def _eager(module: torch.nn.Module, feed: Feed) -> Feed | None:
    """What eager PyTorch answers; None where it fails."""
    try:
        with torch.no_grad():
            return {
                name: tensor.numpy()
                for name, tensor in flatten_outputs(module(*(torch.tensor(array) for array in feed.values()))).items()
            }
    except Exception:  # whatever a module raises at a size that it does not take
        return None


def _tried(
    artifact: Artifact, folder: Path, signature: Signature, eager: Sequence[tuple[str, Feed, Feed | None]]
) -> tuple[str, str]:
    bounded = ""
    with targets.get(artifact.target).open(artifact, folder, signature) as runner:
        for what, feed, reference in eager:
            if reference is None:
                continue
            try:
                answered = runner.run(feed)
            except BadInput as exc:
                bounded = bounded or f"{what}: {exc}"
                continue
            except TorchportError as exc:
                return "wrong", f"{what}: {exc}"
            for name, wanted in reference.items():
                gap = _gap(wanted, answered[name])
                if gap > FAR:
                    return "wrong", f"{what}: {name} is {gap:.1%} off"
    return ("bounded", bounded) if bounded else ("right", "")


def _gap(wanted: np.ndarray, got: np.ndarray) -> float:
    if wanted.shape != got.shape or wanted.dtype != got.dtype:
        return np.inf
    a, b = wanted.astype(np.float64), got.astype(np.float64)
    if not np.array_equal(np.isnan(a), np.isnan(b)):
        return np.inf
    scale = max(float(np.abs(np.nan_to_num(a)).max(initial=0.0)), 1e-12)
    return float(np.nan_to_num(np.abs(a - b)).max(initial=0.0)) / scale
