"""`package.module:name` and `file.py:Name`: the user's own Python builds the model (build half: needs torch)."""

from __future__ import annotations

import ast
import contextlib
import difflib
import functools
import hashlib
import importlib
import importlib.util
import inspect
import json
import linecache
import re
import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

from ..errors import BadInput, CaptureError, TorchportError, UsageError, first_line
from .blame import place_of

if TYPE_CHECKING:
    import torch


@dataclass(frozen=True)
class Built:
    """A model the user's Python built, the hash of the file it is written in, and the arguments it was built with.

    Attributes:
        loaded: that Python loaded weights, or trained some; what it set by other means is not seen.
        notes: what the user should know of it, a line each.
    """

    module: torch.nn.Module
    source_sha256: str | None
    arguments: dict[str, Any]
    loaded: bool = False
    notes: tuple[str, ...] = ()


def build(where: str, name: str, args: Mapping[str, str]) -> Built:
    """Import a class, factory or ready module, and call it.

    Args:
        where: an importable module, or the path of a `.py` file. The current folder (and the file's own) can be
        imported
            from while this runs, and only then.
        name: attribute of the module; dots go deeper.
        args: keyword arguments as typed: JSON where it parses, else the text itself.

    Raises:
        CaptureError: it cannot be imported or called, or does not build a torch.nn.Module; names the user's file and
        line. BadInput: there is no such file.
        UsageError: arguments for something that takes none.
    """
    import torch

    what, arguments = f"{Path(where).name}:{name}", {key: _parsed(text) for key, text in args.items()}
    with _importing(Path(where).parent if where.endswith(".py") else None), _loads() as heard:
        source = _import_file(Path(where)) if where.endswith(".py") else _import(where)
        thing = _attribute(source, name, what)
        if isinstance(thing, torch.nn.Module):
            if arguments:
                raise UsageError(f"{what} is a model already, it takes no --arg", "leave out --arg")
            built: Any = thing
        else:
            built = _call(thing, arguments, what)
    if not isinstance(built, torch.nn.Module):
        raise CaptureError(
            f"{what} gave a {type(built).__name__}, not a torch.nn.Module",
            "name a class or a function that returns the model",
        )
    return Built(built, _hash_of(source), arguments, bool(heard or getattr(built, "name_or_path", "")))


def names_in(path: Path) -> list[str]:
    """Classes and functions at the top level of a `.py` file, without running it; empty where it does not parse."""
    try:
        tree = ast.parse(path.read_bytes())
    except (OSError, SyntaxError, ValueError):
        return []
    return [
        node.name
        for node in tree.body
        if isinstance(node, ast.ClassDef | ast.FunctionDef) and not node.name.startswith("_")
    ]


def _parsed(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError:
        return text


@contextlib.contextmanager
def _importing(folder: Path | None) -> Iterator[None]:
    """Let the user's folders be imported from, and keep what their code prints off standard output."""
    before = list(sys.path)
    sys.path[:0] = [str(path.resolve()) for path in ([folder] if folder else []) + [Path.cwd()]]
    importlib.invalidate_caches()
    try:
        with contextlib.redirect_stdout(sys.stderr):
            yield
    finally:
        sys.path[:] = before


@contextlib.contextmanager
def _loads() -> Iterator[list[str]]:
    """What the user's Python does to set weights, while this runs: it loads them, or takes steps of an optimizer."""
    import torch
    from torch.optim.optimizer import register_optimizer_step_post_hook

    heard: list[str] = []
    places = ((torch.nn.Module, "load_state_dict"), (torch, "load"))
    before = [getattr(owner, name) for owner, name in places]

    def listening(function: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(function)
        def call(*args: Any, **kwargs: Any) -> Any:
            heard.append(function.__name__)
            return function(*args, **kwargs)

        return call

    trains = register_optimizer_step_post_hook(lambda *_: heard.append("step"))
    try:
        for (owner, name), function in zip(places, before, strict=True):
            setattr(owner, name, listening(function))
        yield heard
    finally:
        trains.remove()
        for (owner, name), function in zip(places, before, strict=True):
            setattr(owner, name, function)


def _import(module: str) -> ModuleType:
    try:
        return importlib.import_module(module)
    except ModuleNotFoundError as exc:
        if exc.name and (module == exc.name or module.startswith(f"{exc.name}.")):
            raise CaptureError(
                f"there is no module '{exc.name}'",
                "run from the folder that holds it, install its package, or give the file: file.py:Name",
            ) from exc
        raise _failed(f"importing {module}", exc, f"install what it needs: {exc.name}") from exc
    except (Exception, SystemExit) as exc:
        raise _failed(f"importing {module}", exc) from exc


def _import_file(path: Path) -> ModuleType:
    if not path.is_file():
        raise BadInput(f"there is no file '{path}'", "check the path before the colon")
    # Under its own name, so that `import` of it elsewhere gives the same classes; never over another module of that
    # name. TorchScript writes the name into its code, where it must be an identifier of plain letters.
    stem = re.sub(r"^(?=\d)|\W", "_", path.stem, flags=re.ASCII)
    other = sys.modules.get(stem)
    name = stem if other is None or getattr(other, "__file__", None) == str(path.resolve()) else f"{stem}_file"
    spec = importlib.util.spec_from_file_location(name, path.resolve())
    assert spec is not None and spec.loader is not None, "a .py file has a loader"
    module = importlib.util.module_from_spec(spec)
    linecache.checkcache()
    sys.modules[name] = module
    try:
        spec.loader.exec_module(module)
    except (Exception, SystemExit) as exc:
        del sys.modules[name]
        hint = f"install what it needs: {exc.name}" if isinstance(exc, ModuleNotFoundError) else ""
        raise _failed(f"importing {path.name}", exc, hint) from exc
    return module


def _attribute(module: ModuleType, name: str, what: str) -> Any:
    thing: Any = module
    for part in name.split("."):
        if not hasattr(thing, part):
            public = [known for known in dir(thing) if not known.startswith("_")]
            own = [known for known in public if getattr(getattr(thing, known), "__module__", None) == module.__name__]
            near = difflib.get_close_matches(part, public) or own[:5]
            raise CaptureError(
                f"{what}: there is no '{part}' in {module.__name__}",
                f"did you mean {' or '.join(near)}?" if near else "name a class or function that it defines",
            )
        thing = getattr(thing, part)
    return thing


def _call(factory: Callable[..., Any], arguments: Mapping[str, Any], what: str) -> Any:
    if not callable(factory):
        raise CaptureError(
            f"{what} is a {type(factory).__name__}, not a class, a function or a model",
            "name a class or a function that returns the model",
        )
    try:
        signature = inspect.signature(factory)
        signature.bind(**arguments)
    except TypeError as exc:
        raise CaptureError(
            f"{what} cannot be called: {exc}", f"it is {what}{signature}: give --arg name=value"
        ) from exc
    except ValueError:  # some builtins have no signature: the call itself will tell
        pass
    try:
        return factory(**arguments)
    except TorchportError:
        raise
    except (Exception, SystemExit) as exc:
        raise _failed(what, exc) from exc


def _failed(doing: str, exc: BaseException, hint: str = "") -> CaptureError:
    place = place_of(exc)
    return CaptureError(
        f"{doing} failed at {place}: {first_line(exc)}" if place else f"{doing} failed: {first_line(exc)}",
        hint or "fix that line, or give other --arg",
    )


def _hash_of(module: ModuleType) -> str | None:
    file = getattr(module, "__file__", None)
    return hashlib.sha256(Path(file).read_bytes()).hexdigest() if file and Path(file).is_file() else None
