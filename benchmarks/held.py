"""Artefacts held against eager PyTorch where deploying did not look."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from torchport.errors import BadInput, TorchportError
from torchport.frontend.inputs import parse
from torchport.frontend.program import flatten_outputs
from torchport.targets import targets
from torchport.types import Artifact, Signature

FAR = 1e-3
"""Relative difference from which on an artefact is wrong."""

Feed = dict[str, np.ndarray]


@dataclass(frozen=True)
class Held:
    """What became of one artefact: `right`, `bounded` at some sizes, or `wrong`; why; and the greatest difference,
    relative to the greatest value of its tensor.
    """

    verdict: str
    why: str
    gap: float


def random_feed(rng: np.random.Generator, inputs: Sequence[str], sizes: Mapping[str, int]) -> Feed:
    """Noise for inputs as `--input` writes them; integers and booleans are 0 or 1."""
    feed = {}
    for spec in parse(inputs).tensors:
        shape = [sizes[dim] if isinstance(dim, str) else dim for dim in spec.shape]
        values = rng.standard_normal(shape) if np.dtype(spec.dtype).kind == "f" else rng.integers(0, 2, shape)
        feed[spec.name] = values.astype(spec.dtype)
    return feed


def eager(module: torch.nn.Module, feed: Feed) -> Feed | None:
    """What eager PyTorch answers; None where it fails."""
    try:
        with torch.no_grad():
            return {
                name: tensor.numpy()
                for name, tensor in flatten_outputs(module(*(torch.tensor(array) for array in feed.values()))).items()
            }
    except Exception:  # whatever a module raises at a size that it does not take
        return None


def held(
    artifact: Artifact, folder: Path, signature: Signature, answered: Sequence[tuple[str, Feed, Feed | None]]
) -> Held:
    """Run an artefact on every feed, beside what eager PyTorch answered."""
    bounded, most = "", 0.0
    with targets.get(artifact.target).open(artifact, folder, signature) as runner:
        for what, feed, reference in answered:
            if reference is None:
                continue
            try:
                found = runner.run(feed)
            except BadInput as exc:
                bounded = bounded or f"{what}: {exc}"
                continue
            except TorchportError as exc:
                return Held("wrong", f"{what}: {exc}", np.inf)
            for name, wanted in reference.items():
                most = max(most, gap(wanted, found[name]))
                if most > FAR:
                    return Held("wrong", f"{what}: {name} is {most:.1%} off", most)
    return Held("bounded", bounded, most) if bounded else Held("right", "", most)


def gap(wanted: np.ndarray, got: np.ndarray) -> float:
    """The greatest difference over the greatest value; infinite where shape, dtype or a NaN's place differs."""
    if wanted.shape != got.shape or wanted.dtype != got.dtype:
        return np.inf
    a, b = wanted.astype(np.float64), got.astype(np.float64)
    if not np.array_equal(np.isnan(a), np.isnan(b)):
        return np.inf
    scale = max(float(np.abs(np.nan_to_num(a)).max(initial=0.0)), 1e-12)
    return float(np.nan_to_num(np.abs(a - b)).max(initial=0.0)) / scale
