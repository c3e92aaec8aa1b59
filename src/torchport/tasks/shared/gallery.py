"""A gallery: who or what is known, as unit vectors to compare with, in one safetensors file.

The file holds `embeddings` float32 [entries, size], each of length 1, sorted by label; `impostors` float32 [entries],
how much each entry resembles the most similar one of another label; and in its metadata, under `gallery`, the labels
and the pictures' names as JSON.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache
from pathlib import Path

import numpy as np

from ...errors import BadInput, first_line
from ...system.disk import write_file

SUFFIX = ".safetensors"
_BLOCK = 1024
_KEY = "gallery"


@dataclass(frozen=True)
class Match:
    """The entry of one label that a picture resembles most, and its cosine similarity."""

    label: str
    picture: str
    score: float


@dataclass(frozen=True)
class Gallery:
    """Enrolled pictures, sorted by label.

    Attributes:
        labels: who each entry shows; several entries may show the same.
        pictures: the names they were enrolled under.
        embeddings: float32 [entries, size], unit vectors.
        model: a hash of the weights that they were made with.
        impostors: as in the file.
    """

    labels: tuple[str, ...]
    pictures: tuple[str, ...]
    embeddings: np.ndarray
    model: str
    impostors: np.ndarray

    @classmethod
    def of(cls, labels: Sequence[str], pictures: Sequence[str], embeddings: np.ndarray, model: str) -> Gallery:
        """A gallery of entries in any order; where a label has two pictures of one name, the later counts."""
        latest = {pair: place for place, pair in enumerate(zip(labels, pictures, strict=True))}
        order = [latest[pair] for pair in sorted(latest)]
        kept = np.ascontiguousarray(embeddings[order], np.float32)
        names = tuple(labels[place] for place in order)
        return cls(names, tuple(pictures[place] for place in order), kept, model, _impostors(names, kept))

    @cached_property
    def known(self) -> tuple[str, ...]:
        """The labels, each once."""
        return tuple(dict.fromkeys(self.labels))

    @cached_property
    def _starts(self) -> np.ndarray:
        first = {label: place for place, label in reversed([*enumerate(self.labels)])}
        return np.array([first[label] for label in self.known])

    def search(self, embedding: np.ndarray, top: int) -> list[Match]:
        """The `top` labels that a unit vector resembles most, the best first; ties by label."""
        if not self.labels:
            return []
        scores = self.embeddings @ embedding
        best = np.maximum.reduceat(scores, self._starts)
        ends = [*self._starts[1:], len(scores)]
        found = []
        for place in np.argsort(-best, kind="stable")[:top]:
            start = int(self._starts[place])
            entry = start + int(scores[start : ends[place]].argmax())
            found.append(Match(self.labels[entry], self.pictures[entry], float(scores[entry])))
        return found

    def threshold(self, far: float) -> float | None:
        """The similarity that at most a share `far` of strangers exceeds; None where fewer than two labels are known.

        Each entry is taken for a stranger once: it is searched for among the entries of other labels.
        """
        if len(self.known) < 2:
            return None
        return float(np.sort(self.impostors)[::-1][int(far * len(self.impostors))])

    def save(self, path: Path) -> None:
        """Write the file whole or not at all; raises OutputError."""
        from safetensors.numpy import save

        about = {"model": self.model, "labels": self.labels, "pictures": self.pictures}
        write_file(
            path,
            save(
                {"embeddings": self.embeddings, "impostors": self.impostors},
                {_KEY: json.dumps(about, ensure_ascii=False)},
            ),
        )


def load(path: Path) -> Gallery:
    """The gallery of a file, read anew only when the file changes.

    Raises:
        BadInput: there is no such file, or it holds no gallery.
    """
    try:
        stat = path.stat()
    except OSError as exc:
        raise BadInput(
            f"gallery: {path.name} cannot be read: {exc.strerror}", "give the file that enrol wrote"
        ) from exc
    return _load(path, stat.st_ino, stat.st_size, stat.st_mtime_ns)


@lru_cache(maxsize=16)
def _load(path: Path, *_identity: int) -> Gallery:
    from safetensors import safe_open

    try:
        with safe_open(path, "numpy") as file:
            about = json.loads(file.metadata()[_KEY])
            embeddings, impostors = file.get_tensor("embeddings"), file.get_tensor("impostors")
        made = Gallery(tuple(about["labels"]), tuple(about["pictures"]), embeddings, about["model"], impostors)
        sizes = {len(made.labels), len(made.pictures), len(made.embeddings), len(made.impostors)}
        if len(sizes) != 1 or made.embeddings.ndim != 2 or list(made.labels) != sorted(made.labels):
            raise ValueError("its parts do not fit each other")
    except Exception as exc:  # damaged in whatever way, it is no gallery
        raise BadInput(
            f"gallery: {path.name} is not a gallery ({first_line(exc, kind=False)})",
            "give the file that enrol wrote",
        ) from exc
    return made


def unit(vectors: np.ndarray) -> np.ndarray:
    """float32 [..., size] of length 1 along the last axis; a vector of zeros stays one."""
    vectors = np.asarray(vectors, np.float32)
    return np.asarray(vectors / np.maximum(np.sqrt((vectors * vectors).sum(-1, keepdims=True)), np.float32(1e-12)))


def _impostors(labels: Sequence[str], embeddings: np.ndarray) -> np.ndarray:
    codes = np.unique(np.array(labels, dtype=object).astype(str), return_inverse=True)[1].reshape(-1)
    best = np.full(len(codes), -1, np.float32)
    for start in range(0, len(codes), _BLOCK):
        rows = slice(start, start + _BLOCK)
        scores = embeddings[rows] @ embeddings.T
        scores[codes[rows, None] == codes[None]] = -1
        best[rows] = scores.max(1, initial=-1)
    return best
