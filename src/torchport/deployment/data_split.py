"""Which items calibrate, which select, which are left for the test; and the feeds that calibration sees."""

from __future__ import annotations

import hashlib
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from ..compress.base import CALIBRATION_HINT, ENOUGH, FEWEST_FEEDS, too_few
from ..errors import BadInput
from ..tasks import Item, Pipeline, Plan

if TYPE_CHECKING:
    from ..compress import Chain
    from ..frontend.program import Arrays
    from .assemble import Assembled

UNREADABLE = 0.5
"""Greatest share of calibration items that may be unreadable."""


@dataclass(frozen=True)
class Parts:
    """The user's items by what they are for: no item is in two parts.

    Attributes:
        calibration: what recipes learn from; labels are used where there are any.
        selection: what candidates are compared on.
        test: what is answered once, by what was chosen.
    """

    calibration: list[Item]
    selection: list[Item]
    test: list[Item]


def split(items: Sequence[Item], calibration: Sequence[Item] | None, test: Sequence[Item] | None) -> Parts:
    """Split items by a hash of their names, so that the same data falls the same way each time, in whatever order it
    came.

    Args:
        items: the data; a third each calibrates, selects and tests, as far as no other data was given for it.
        calibration, test: items given for it, or None.
    """
    parts = 1 + (calibration is None) + (test is None)
    if len(items) < ENOUGH or parts == 1:
        return Parts(list(calibration or ()), list(items), list(test or ()))
    ranked = sorted(range(len(items)), key=lambda i: hashlib.sha256(f"{items[i].name}\0{i}".encode()).digest())
    count = len(items) // parts
    learn = ranked[:count] if calibration is None else []
    held = ranked[len(items) - count :] if test is None else []
    rest = ranked[len(learn) : len(items) - len(held)]
    chosen = [[items[i] for i in sorted(part)] for part in (learn, rest, held)]
    return Parts(
        list(calibration) if calibration is not None else chosen[0],
        chosen[1],
        list(test) if test is not None else chosen[2],
    )


def check_enough(chains: Sequence[Chain], data: Sequence[Item] | None, calibration: Sequence[Item] | None) -> None:
    """Say before any work that there are too few items for the recipes that learn from them.

    Args:
        data, calibration: the items given for it, or None.

    Raises:
        BadInput: every chain learns from calibration items; where others do not, a RuntimeWarning says the same.
    """
    learning = [chain.name for chain in chains if chain.needs_data]
    count = len(calibration) if calibration is not None else len(data or ()) // 3 if len(data or ()) >= ENOUGH else 0
    if not learning or count >= FEWEST_FEEDS:
        return
    given = (
        ""
        if calibration is not None
        else " (no --data was given)"
        if data is None
        else f" (--data holds {len(data)} items)"
    )
    said = too_few(", ".join(learning), count, given)
    if len(learning) == len(chains):
        raise BadInput(said, CALIBRATION_HINT)
    warnings.warn(f"{said}; {CALIBRATION_HINT}", RuntimeWarning, stacklevel=2)


def feeds(assembled: Assembled, items: Sequence[Item]) -> tuple[dict[str, list[Arrays]], list[int]]:
    """What the weighted graphs are fed while the model as trained answers some items; and the items' class indices,
    where each readable one has such a label and the model is one graph.

    Raises:
        BadInput: most of the items cannot be read.
    """
    from ..targets.eager import ModuleRunner

    weighted = assembled.program.weighted
    found: dict[str, list[Arrays]] = {name: [] for name in weighted}
    runners = {name: ModuleRunner(graph) for name, graph in assembled.program.graphs.items()}

    def watch(graph: str, feed: Mapping[str, np.ndarray], outputs: Mapping[str, np.ndarray], ms: float) -> None:
        if graph in found:
            found[graph].append({name: np.array(array) for name, array in feed.items()})

    plan = Plan(assembled.task, assembled.facts, assembled.steps, assembled.graphs)
    stop = plan.end_of(weighted)
    pipeline = Pipeline(plan, runners, watch=watch)
    labels: list[int] = []
    unreadable: dict[str, str] = {}
    for item in items:
        try:
            pipeline.run({"raw": item.read()}, stop=stop)
        except BadInput as exc:
            unreadable[item.name] = str(exc)
            continue
        if isinstance(item.label, int):
            labels.append(item.label)
    if unreadable:
        name, why = next(iter(unreadable.items()))
        said = f"{len(unreadable)} of {len(items)} calibration items cannot be used ({name}: {why})"
        if len(unreadable) > UNREADABLE * len(items):
            raise BadInput(said, "check --calibration")
        warnings.warn(f"{said}; they are left out", RuntimeWarning, stacklevel=2)
    single = weighted == ("model",) and len(labels) == len(items) - len(unreadable)
    return found, labels if single else []
