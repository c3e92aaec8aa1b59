"""Requests that no client should send, from a seed: valid ones that were changed, and some that never were valid."""

from __future__ import annotations

from collections.abc import Callable
from random import Random

from surroundings import by_encoding, by_form, by_headers, by_junk, by_path, by_picture, by_settings
from tensors import by_binary, by_bytes, by_depth, by_elements, by_shape, by_structure
from valid import Hostile

FAMILIES: tuple[tuple[Callable[[Random], Hostile], int], ...] = (
    (by_structure, 24),
    (by_bytes, 16),
    (by_depth, 2),
    (by_shape, 8),
    (by_binary, 10),
    (by_elements, 6),
    (by_path, 12),
    (by_encoding, 5),
    (by_picture, 6),
    (by_form, 4),
    (by_settings, 4),
    (by_headers, 2),
    (by_junk, 1),
)
"""What makes requests, and how often."""

_RUNS, _WEIGHTS = zip(*FAMILIES, strict=True)


def hostile(random: Random) -> Hostile:
    """One request."""
    run: Callable[[Random], Hostile] = random.choices(_RUNS, _WEIGHTS)[0]
    return run(random)
