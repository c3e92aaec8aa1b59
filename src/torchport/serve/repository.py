"""The models of a server: Bundles by their names, loaded, replaced and unloaded while requests go on."""

from __future__ import annotations

import logging
import re
import threading
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from ..bundle import Bundle
from ..errors import BundleError, ParityError, TorchportError, UsageError
from ..predict import Predictor
from .faces import RAW, VERSION, Face
from .messages import Refused
from .models import Loaded
from .settings import Settings

LOG = logging.getLogger("torchport.serve")

State = Literal["LOADING", "READY", "UNAVAILABLE"]

SUFFIX = ".tport"

NAME = re.compile(r"[\w][\w.+@ -]{0,127}")
"""What a model may be called: no separators of paths, no leading dot."""


@dataclass
class Entry:
    """One Bundle of the repository.

    Attributes:
        path: the Bundle.
        loaded: None while it is not.
        reason: why it is unavailable.
    """

    name: str
    path: Path
    loaded: Loaded | None = None
    state: State = "UNAVAILABLE"
    reason: str = ""
    lock: threading.Lock = field(default_factory=threading.Lock)


class Repository:
    """Bundles by name. A Bundle becomes ready when its golden vectors are answered as recorded; until then, the one
    that it replaces goes on.
    """

    def __init__(self, paths: Sequence[Path], settings: Settings, *, name: str | None = None) -> None:
        self.settings = settings
        self.entries = {entry.name: entry for entry in _found(paths, name)}
        self._faces: dict[str, Face] = {}

    def load(self, name: str) -> None:
        """Open a Bundle, again if it is open: the new one takes over once it is ready, and requests under way are
        answered by the old one.

        Raises:
            Refused: there is no such model.
            TorchportError: it cannot be opened, or does not answer as recorded.
        """
        entry = self._entry(name)
        with entry.lock:
            entry.state = entry.state if entry.loaded else "LOADING"
            try:
                fresh = self._opened(entry)
            except Exception as exc:
                told = exc if isinstance(exc, TorchportError) else BundleError(f"{name} cannot be opened: {exc}")
                entry.reason = told.line
                entry.state = "READY" if entry.loaded else "UNAVAILABLE"
                LOG.error("%s: %s", name, told.line)
                raise told from exc
            old, entry.loaded, entry.state, entry.reason = entry.loaded, fresh, "READY", ""
            self._show(old, fresh)
        if old is not None:
            self._retire(old)

    def unload(self, name: str) -> None:
        """Forget a model once what is under way is answered; raises Refused where there is none of that name."""
        entry = self._entry(name)
        with entry.lock:
            old, entry.loaded, entry.state, entry.reason = entry.loaded, None, "UNAVAILABLE", "unloaded"
            self._show(old, None)
        if old is not None:
            self._retire(old)

    def face(self, name: str, version: str = "") -> Face:
        """The ready model of that name; raises Refused: 404 where there is none, 503 where it is not ready."""
        face = self._faces.get(name)
        if face is None:
            entry = self._entry(name)
            raise Refused(503, f"the model '{name}' is not ready: {entry.reason or entry.state.lower()}")
        if version not in ("", VERSION):
            raise Refused(404, f"the model '{name}' has no version '{version[:20]}', it has {VERSION}")
        return face

    def ready(self) -> bool:
        """Whether every model that is to be served is."""
        return all(entry.state == "READY" or entry.reason == "unloaded" for entry in self.entries.values())

    @property
    def faces(self) -> list[Face]:
        """The ready models."""
        return list(self._faces.values())

    def index(self, *, ready: bool = False) -> list[dict[str, Any]]:
        """The protocol's index of the repository."""
        rows: list[dict[str, Any]] = []
        for entry in self.entries.values():
            names = list(entry.loaded.faces) if entry.loaded else [entry.name]
            rows += [
                {"name": name, "version": VERSION, "state": entry.state, "reason": entry.reason}
                for name in names
                if not ready or entry.state == "READY"
            ]
        return rows

    def close(self) -> None:
        """Answer what waits, and release every runtime."""
        for entry in self.entries.values():
            if entry.loaded is not None:
                entry.loaded.close()
                entry.loaded = None

    def _entry(self, name: str) -> Entry:
        owner = self.entries.get(name) or self.entries.get(name.removesuffix(RAW)) or self._of_graph(name)
        if owner is None:
            raise Refused(404, f"there is no model '{name[:120]}'")
        return owner

    def _of_graph(self, name: str) -> Entry | None:
        face = self._faces.get(name)
        return self.entries.get(face.loaded.name) if face else None

    def _show(self, old: Loaded | None, fresh: Loaded | None) -> None:
        faces = {name: face for name, face in self._faces.items() if old is None or face.loaded is not old}
        self._faces = faces | (fresh.faces if fresh else {})

    def _retire(self, old: Loaded) -> None:
        threading.Thread(target=old.close, name=f"close-{old.name}", daemon=True).start()

    def _opened(self, entry: Entry) -> Loaded:
        settings = self.settings
        predictor = Predictor(entry.path, threads=settings.threads, device=settings.device, trust=settings.trust)
        try:
            shown = predictor.check(1)
            if not shown.ok:
                raise ParityError(
                    f"{entry.name}: {predictor.variant.id} does not answer its golden vectors here: {shown.reason}",
                    "run: torchport verify",
                )
            return Loaded(entry.name, predictor, settings)
        except BaseException:
            predictor.close()
            raise


def _found(paths: Sequence[Path], name: str | None) -> list[Entry]:
    """The Bundles that paths name: a Bundle, or a folder `NAME/1.tport` or `NAME.tport` of several.

    Raises:
        UsageError: there is none, or two have one name.
    """
    found: dict[str, Entry] = {}
    for path, own in _bundles(paths):
        called = name or own or _stated(path)
        if name and len(found):
            raise UsageError("--name is of one Bundle, and there are several", "leave it out")
        if not NAME.fullmatch(called) or called.endswith(RAW):
            raise UsageError(f"{path}: a model cannot be called {called[:60]!r}", "give another with --name")
        if called in found:
            raise UsageError(f"{found[called].path} and {path} are both called {called}", "serve one of them")
        found[called] = Entry(called, path)
    if not found:
        raise UsageError(f"there is no Bundle in {', '.join(map(str, paths))}", "make one with: torchport deploy")
    return list(found.values())


def _bundles(paths: Sequence[Path]) -> Iterator[tuple[Path, str | None]]:
    for path in paths:
        if is_bundle(path):
            yield path, None
        elif path.is_dir():
            for inner in sorted(path.iterdir()):
                if is_bundle(inner):
                    yield inner, None
                elif inner.is_dir():
                    versions = sorted(filter(is_bundle, inner.iterdir()), key=_version)
                    if versions:
                        yield versions[-1], inner.name
        elif path.exists():
            raise BundleError(f"{path} is no Bundle", "give a .tport folder or file, or a folder of them")
        else:
            raise UsageError(f"{path} does not exist", "give a Bundle, or a folder of them")


def is_bundle(path: Path) -> bool:
    """Whether a path may be a Bundle: a folder with a manifest, or a packed file."""
    return (path / "torchport.json").is_file() or (path.is_file() and path.suffix == SUFFIX)


def _version(path: Path) -> tuple[int, str]:
    return (int(path.stem) if path.stem.isdecimal() else -1, path.name)


def _stated(path: Path) -> str:
    """The name that a Bundle states; the file's, where it cannot be opened: it is then told of when it is loaded."""
    try:
        with Bundle(path) as bundle:
            return bundle.manifest.name
    except TorchportError:
        return path.name.removesuffix(SUFFIX)
