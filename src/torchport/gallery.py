"""Galleries of one's own for `image-recognition`: who is known changes every day, the Bundle does not.

    from torchport import gallery, load

    with load("faces.tport") as faces:
        gallery.enrol(faces, "staff.safetensors", {"Ada": ["ada-1.jpg", "ada-2.jpg"]})
    with load("faces.tport", overrides={"gallery": "staff.safetensors"}) as faces:
        faces.predict("door.jpg")["label"]

A file is written whole or not at all. One process at a time may change it; any number may read it meanwhile, and see
the change with their next picture.
"""

from __future__ import annotations

import contextlib
import hashlib
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from .errors import BadInput, UsageError
from .system.disk import writing
from .tasks.shared.gallery import Gallery
from .tasks.shared.gallery import load as _load

if TYPE_CHECKING:
    from .predict import Predictor, Source

__all__ = ["Gallery", "enrol", "read", "remove"]


def read(file: str | Path) -> Gallery:
    """What a gallery's file holds; raises BadInput where it holds none."""
    return _load(Path(file))


def enrol(
    predictor: Predictor, file: str | Path, pictures: Mapping[str, Sequence[Source]], *, fresh: bool = False
) -> Gallery:
    """Add pictures to a gallery of one's own.

    Args:
        predictor: an opened Bundle of `image-recognition` whose model answers an embedding.
        file: the gallery. Where there is none yet, it begins with those that the Bundle knows.
        pictures: label -> pictures, as `predict` takes them; a picture of a name that the label has already replaces
        it. fresh: a new file begins empty.

    Raises:
        BadInput: a picture cannot be read (nothing is changed then), or the file was enrolled with another model.
        UsageError: the Bundle answers no embedding, or a label is empty or `unknown`.
        OutputError: the file cannot be written.
    """
    facts = predictor.pipeline.facts
    if not getattr(facts, "gallery", None):
        raise UsageError(
            f"{predictor.bundle.manifest.name} has no gallery",
            "enrol with a Bundle of image-recognition, head=embedding",
        )
    named = [(label, source) for label, sources in pictures.items() for source in sources]
    wrong = next((label for label in pictures if not label.strip() or label == "unknown"), None)
    if wrong is not None:
        raise UsageError(f"'{wrong}' is not a label", "call each by a name of their own")
    made = [np.asarray(predictor.values(source)["embedding"])[0] for _, source in named]
    path = Path(file)
    with _alone(path):
        known = read(path) if path.exists() else None if fresh else _load(facts.gallery)
        if known is not None and known.model != facts.model:
            raise BadInput(f"{path.name} was enrolled with another model", "begin a new file")
        labels = [*(known.labels if known else ()), *(label for label, _ in named)]
        names = [*(known.pictures if known else ()), *(_name(source) for _, source in named)]
        rows = [*(known.embeddings if known else ()), *made]
        if not rows:
            raise UsageError("there is nothing to enrol", "give label -> pictures")
        gallery = Gallery.of(labels, names, np.stack(rows), facts.model)
        gallery.save(path)
    return gallery


def remove(file: str | Path, label: str) -> Gallery:
    """Take everything of one label out of a gallery.

    Raises:
        BadInput: there is no such file, or no such label in it.
    """
    path = Path(file)
    with _alone(path):
        known = read(path)
        kept = [place for place, one in enumerate(known.labels) if one != label]
        if len(kept) == len(known.labels):
            raise BadInput(f"{path.name} knows no '{label}'", f"it knows {', '.join(known.known[:10])}")
        gallery = Gallery.of(
            [known.labels[i] for i in kept], [known.pictures[i] for i in kept], known.embeddings[kept], known.model
        )
        gallery.save(path)
    return gallery


def _name(source: Source) -> str:
    """A picture is called by its file's name, or where it has none by its content."""
    return hashlib.sha256(source).hexdigest()[:16] if isinstance(source, bytes) else Path(source).name


@contextlib.contextmanager
def _alone(path: Path) -> Iterator[None]:
    """Keep other processes from changing the file meanwhile, where the system has such locks."""
    try:
        import fcntl
    except ImportError:  # Windows: the last to write wins, and no file is torn
        yield
        return
    lock = path.with_name(f".{path.name}.lock")
    with writing(path):
        handle = lock.open("a")
    with handle:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield
