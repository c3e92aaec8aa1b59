"""Enrolling a gallery's pictures with the eager model, as it is deployed (build half: needs torch where it is
called).
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from ...errors import BadInput
from ...system.disk import scratch
from ..parts import Item
from . import gallery, picture_chain
from .picture_items import list_named

if TYPE_CHECKING:
    import torch
    from torch.export import ExportedProgram

    from ..image_recognition import RecognitionFacts


def model_hash(model: torch.nn.Module | ExportedProgram) -> str:
    """A hash of the weights: embeddings of two models do not compare."""
    import torch

    from ...system.tensor_hash import state_hash

    state = model.state_dict() if isinstance(model, torch.nn.Module) else model.state_dict
    return str(state_hash({key: value for key, value in state.items() if isinstance(value, torch.Tensor)}))


def enrolled(model: torch.nn.Module | ExportedProgram, facts: RecognitionFacts, task: str) -> Path:
    """The file of the gallery that the facts name: as it is, or made of the labelled pictures there.

    Raises:
        BadInput: a picture without a label, fewer than two labels and no threshold, or a file made with another model.
    """
    given = facts.gallery
    assert given is not None, "the task has checked it"
    if given.suffix == gallery.SUFFIX:
        made = gallery.load(given)
        if made.model != facts.model:
            raise BadInput(
                f"gallery: {given.name} was enrolled with another model",
                "give the pictures themselves: --set gallery=FOLDER",
            )
        path = given
    else:
        made = _enrol(model, list_named(given), facts, task)
        path = scratch() / f"gallery{gallery.SUFFIX}"
        made.save(path)
    if facts.threshold is None and made.threshold(facts.far) is None:
        raise BadInput(
            f"gallery: {given.name} shows {len(made.known)} label, and no stranger to tell from it",
            "enrol at least two, or set a threshold",
        )
    return path


def _enrol(
    model: torch.nn.Module | ExportedProgram, items: Sequence[Item], facts: RecognitionFacts, task: str
) -> gallery.Gallery:
    import torch

    call = model if isinstance(model, torch.nn.Module) else model.module()
    without = next((item for item in items if item.label is None), None)
    if without is not None:
        raise BadInput(
            f"gallery: {without.name} has no label",
            "put each one's pictures into a folder called after them, or call them NAME_LABEL.jpg",
        )
    rows = []
    with torch.no_grad():
        for item in items:
            pixels = next(iter(picture_chain.feed([item], facts, None, task).values()))
            answered = call(torch.from_numpy(pixels))
            while not isinstance(answered, torch.Tensor):
                answered = next(iter(answered.values() if isinstance(answered, dict) else answered))
            if answered.ndim != 2:
                raise BadInput(
                    f"the model answers {tuple(answered.shape)} for one picture, not one vector",
                    "set head=ctc, or wrap the model so that its first output is [batch, size]",
                )
            rows.append(gallery.unit(answered.numpy()))
    return gallery.Gallery.of(
        [str(item.label) for item in items],
        [Path(item.name).name for item in items],
        np.concatenate(rows),
        facts.model,
    )
