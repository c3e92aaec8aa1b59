"""What takes long to make (a model read back from another format, or trained here) is made once and kept by hash."""

from __future__ import annotations

import contextlib
import hashlib
import inspect
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from torchport.system import cache


def cached(make: Callable[[Path], None], *files: Path, key: Sequence[str] = ()) -> Path:
    """A folder that `make` filled, from the user's cache folder where it is there, else made now.

    The key is the source of the file that `make` is defined in, the given key, and the content of the given files, so
    that a changed recipe is made anew. `TORCHPORT_MODELS` names another folder; where there is none, a temporary one is
    used.
    """
    source = Path(inspect.getfile(make))
    parts = [
        hashlib.sha256(source.read_bytes()).hexdigest(),
        make.__qualname__,
        *key,
        *(cache.digest(path) for path in files),
    ]
    root = (
        os.environ.get("TORCHPORT_MODELS") or (cache.folder() or Path(tempfile.gettempdir()) / "torchport") / "models"
    )
    place = Path(root) / hashlib.sha256("\0".join(parts).encode()).hexdigest()[:32]
    if place.is_dir():
        return place
    place.parent.mkdir(parents=True, exist_ok=True)
    with alone(place.with_name(f".{place.name}.lock")):
        if place.is_dir():  # made while this process waited
            return place
        scratch = Path(tempfile.mkdtemp(prefix=".new-", dir=place.parent))
        try:
            make(scratch)
            scratch.replace(place)
        finally:
            shutil.rmtree(scratch, ignore_errors=True)
    return place


def quick() -> bool:
    """Whether models are trained for seconds only, as the tests ask: there it counts whether both sides answer alike,
    not how well. It belongs to the key of what depends on it."""
    return bool(os.environ.get("TORCHPORT_QUICK"))


@contextlib.contextmanager
def alone(lock: Path) -> Iterator[None]:
    """One process at a time, where the system has such locks: what takes minutes is not made twice side by side."""
    try:
        import fcntl
    except ImportError:
        yield
        return
    with lock.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def package(name: str) -> Path:
    """The folder of an installed package, found without importing it."""
    from importlib.util import find_spec

    found = find_spec(name)
    if found is None or not found.submodule_search_locations:
        raise ModuleNotFoundError(f"{name} is not installed: pip install --no-deps -r benchmarks/packages.txt")
    return Path(next(iter(found.submodule_search_locations)))
