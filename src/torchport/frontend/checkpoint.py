"""What a file of weights holds: its tensors by name, where each stands, and what lies beside them (build half).

A `.safetensors` (one, or several with their index), a file of torch.save in any of its forms, or a plain pickle.
Nothing in it is run.
"""

from __future__ import annotations

import json
import pickle
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch

from ..errors import BadInput, UnsafeFile, first_line
from .rebuild import Array
from .safe import kind_of
from .torch_file import unpickle_file
from .unpickle import Object, Table

DEEPEST = 6
"""How many dicts may lie within one another on the way to a tensor."""

RUNS = (
    "os",
    "posix",
    "nt",
    "sys",
    "subprocess",
    "pty",
    "ctypes",
    "socket",
    "shutil",
    "runpy",
    "importlib",
    "webbrowser",
    "_posixsubprocess",
    "pip",
    "commands",
)
RUNS_TOO = frozenset(
    f"builtins.{name}" for name in ("eval", "exec", "execfile", "compile", "__import__", "open", "input", "breakpoint")
)
"""What only an attack names in a checkpoint: such a file is refused, although none of it would run."""

IN_FOLDER = (
    "model.safetensors",
    "model.safetensors.index.json",
    "pytorch_model.bin",
    "pytorch_model.bin.index.json",
    "diffusion_pytorch_model.safetensors",
)
INDEX = ".index.json"

FOREIGN = {
    b"\x1f\x8b": "is compressed (gzip): decompress it",
    b"BZh": "is compressed (bzip2): decompress it",
    b"\xfd7zXZ": "is compressed (xz): decompress it",
    b"(\xb5/\xfd": "is compressed (zstd): decompress it",
    b"Rar!": "is a RAR archive: unpack it",
    b"\x89HDF": "is HDF5, as Keras writes it: torchport reads PyTorch weights",
    b"GGUF": "is GGUF: torchport reads PyTorch weights",
    b"\x93NUMPY": "is one NumPy array: save the model's state dict",
    b"\x89PNG": "is a picture",
    b"\xff\xd8\xff": "is a picture",
    b"version https://git-lfs": "is a pointer of Git LFS, not the file itself: run git lfs pull",
    b"<!DOCTYPE": "is a web page: download the file itself",
    b"<!doctype": "is a web page: download the file itself",
    b"<html": "is a web page: download the file itself",
    b"{": "is JSON: give the file with the tensors",
}
"""What else is handed over as weights, by its first bytes."""

WHOLE = {"scripted": "TorchScript", "exported": "a program of torch.export"}
SAVE = "torch.save(model.state_dict(), 'weights.pt')"


@dataclass
class Checkpoint:
    """The tensors of a file, on the CPU, by their whole path: `state_dict.module.fc.weight`.

    Attributes:
        file: the file's name, for people.
        holders: path of a tensor -> path of the dict that holds it; empty for the file's outermost one.
        metadata: path of a module -> its versions, as state dicts carry them.
        extras: path -> what a module keeps beside tensors (`get_extra_state`), where it is plain data.
        objects: names of classes and functions of which the file holds objects; none was imported or called.
        modules: path -> class of a whole model that the file holds pickled.
        keys: what stands in the file's outermost dict.
    """

    file: str
    tensors: dict[str, torch.Tensor] = field(default_factory=dict)
    holders: dict[str, str] = field(default_factory=dict)
    metadata: dict[str, Mapping[str, Any]] = field(default_factory=dict)
    extras: dict[str, Any] = field(default_factory=dict)
    objects: tuple[str, ...] = ()
    modules: dict[str, str] = field(default_factory=dict)
    keys: tuple[str, ...] = ()

    def entries(self) -> dict[str, list[str]]:
        """Path of a dict that holds tensors -> their names in it."""
        found: dict[str, list[str]] = {}
        for path, holder in self.holders.items():
            found.setdefault(holder, []).append(path[len(holder) + 1 :] if holder else path)
        return found


def located(weights: Path) -> tuple[Path, str | None]:
    """`best.pth#ema` as the file and what follows the last `#`, where no file has that whole name."""
    name, mark, entry = str(weights).rpartition("#")
    return (Path(name), entry) if mark and not weights.exists() else (weights, None)


def read(path: Path) -> Checkpoint:
    """The tensors of a file, or of a folder as `save_pretrained` and accelerate write it.

    Raises:
        UnsafeFile: it names what only an attack does, or holds nothing but a pickled model.
        BadInput: it is missing, damaged, something else, or holds no tensors by name.
    """
    path = _in_folder(path) if path.is_dir() else path
    if not path.is_file():
        raise BadInput(f"there is no file '{path}'", "check the path")
    with path.open("rb") as file:
        head = file.read(32)
    if not head:
        raise BadInput(f"{clean(path.name)} is empty", "copy or save the file again")
    if path.name.endswith(INDEX):
        return _sharded(path)
    if head[8:9] == b"{" and int.from_bytes(head[:8], "little") < path.stat().st_size:
        return _safetensors(path)
    other = next((words for start, words in FOREIGN.items() if head.startswith(start)), None)
    kind = kind_of(path)
    if kind in WHOLE:
        raise BadInput(
            f"{clean(path.name)} is {WHOLE[kind]}, a whole model and no weights",
            f"give it as the source: torchport deploy {path.name}, without --weights",
        )
    if kind == "unknown" and head.startswith(b"PK"):
        other = "is an archive (zip) that torch.save did not write"
    if other is not None:
        raise BadInput(f"{clean(path.name)} {other}", f"then give it as --weights, or save the weights again: {SAVE}")
    return _pickled(path)


def clean(text: str, most: int = 80) -> str:
    """A name out of a file, fit for a terminal: one line of printable letters, cut at `most`."""
    shown = "".join(letter if letter.isprintable() else "?" for letter in text[: most + 1])
    return shown if len(shown) <= most else f"{shown[: most - 3]}..."


def _in_folder(folder: Path) -> Path:
    found = next((folder / name for name in IN_FOLDER if (folder / name).is_file()), None)
    if found is not None:
        return found
    if (folder / ".metadata").is_file():
        how = f"python -m torch.distributed.checkpoint.format_utils dcp_to_torch {folder.name} weights.pt"
        raise BadInput(f"{folder.name} is a distributed checkpoint, a part a process", f"put it together first: {how}")
    if (folder / "zero_to_fp32.py").is_file():
        raise BadInput(
            f"{folder.name} is a checkpoint of DeepSpeed, a part a process",
            "put it together first: python zero_to_fp32.py . weights",
        )
    raise BadInput(f"{folder.name} is a folder without {', '.join(IN_FOLDER[:3])}", "give the file with the weights")


def _safetensors(path: Path) -> Checkpoint:
    from safetensors.torch import load_file

    try:
        tensors = load_file(path)
    except Exception as exc:  # damage surfaces as any exception
        raise _damaged(path, exc) from exc
    if not tensors:
        raise BadInput(f"{clean(path.name)} holds no tensors", "save the model's state dict")
    return Checkpoint(clean(path.name), tensors, dict.fromkeys(tensors, ""))


def _sharded(path: Path) -> Checkpoint:
    try:
        files = sorted(set(json.loads(path.read_text(encoding="utf-8"))["weight_map"].values()))
        if any(type(name) is not str or Path(name).name != name for name in files):
            raise ValueError("it names files elsewhere")
    except Exception as exc:  # a stranger's JSON
        raise BadInput(
            f"{clean(path.name)} is not an index of weights: {first_line(exc)}", "give the file with the tensors"
        ) from exc
    parts = [read(path.with_name(name)) for name in files]
    whole = Checkpoint(clean(path.name))
    for part in parts:
        whole.tensors |= part.tensors
        whole.holders |= part.holders
        whole.objects += part.objects
    return whole


def _pickled(path: Path) -> Checkpoint:
    try:
        found = unpickle_file(path)
        names = [name for name in found.names if name.partition(".")[0] in RUNS or name in RUNS_TOO]
        if not names:
            return _walked(path, found.root, found.names)
    except (BadInput, UnsafeFile):
        raise
    except Exception as exc:  # damage surfaces as any exception
        raise _damaged(path, exc) from exc
    raise UnsafeFile(
        f"{clean(path.name)} contains code ({clean(names[0])}); refused, never executed",
        f"save the weights again where you trust the file: {SAVE}",
    )


def _walked(path: Path, root: Any, names: tuple[str, ...]) -> Checkpoint:
    found = Checkpoint(
        clean(path.name),
        objects=tuple(clean(name) for name in names),
        keys=tuple(clean(str(key)) for key in root) if isinstance(root, dict) else (),
    )
    _walk(found, root, "", {id(root)}, 0)
    if {"state", "param_groups"} <= set(found.keys) and all(name.startswith("state.") for name in found.tensors):
        raise BadInput(
            f"{found.file} holds the state of an optimizer, not the weights of a model", f"save the weights: {SAVE}"
        )
    if found.tensors or found.modules:
        return found
    if found.objects and not found.keys:
        raise UnsafeFile(
            f"{found.file} contains code ({found.objects[0]}) and no tensors by name; refused, never executed",
            f"save the weights again: {SAVE}",
        )
    raise BadInput(
        f"{found.file} holds no tensors by name" + (f", only {_some(found.keys)}" if found.keys else ""),
        f"save the weights: {SAVE}",
    )


def _walk(found: Checkpoint, there: Any, path: str, seen: set[int], depth: int) -> None:
    """Gather the tensors of a dict, of a list in it, or of an object that is like one of them."""
    if isinstance(there, Table) and isinstance(there.metadata, dict):
        found.metadata |= {
            _joined(path, key): value
            for key, value in there.metadata.items()
            if isinstance(key, str) and isinstance(value, dict)
        }
    for key, value in _children(there):
        name = _joined(path, str(key))
        value = value.tensor if isinstance(value, Array) else value
        if isinstance(value, torch.Tensor) and isinstance(key, str):
            found.tensors[name], found.holders[name] = value, path
        elif isinstance(key, str) and key.endswith("_extra_state") and _is_plain(value, 0):
            found.extras[name] = value
        elif isinstance(value, dict | list | tuple | Object) and depth < DEEPEST and id(value) not in seen:
            seen.add(id(value))
            if isinstance(value, Object) and _is_module(value):
                found.modules[name] = clean(value.name)
            else:
                _walk(found, value, name, seen, depth + 1)
    if _is_module(there) and not path:
        found.modules[""] = clean(there.name)


def _children(there: Any) -> Iterator[tuple[Any, Any]]:
    if isinstance(there, Object):
        if not _is_module(there):
            yield from there.items.items()
            yield from there.state.items() if isinstance(there.state, dict) else ()
    elif isinstance(there, dict):
        yield from ((key, value) for key, value in there.items() if isinstance(key, str | int))
    elif isinstance(there, list | tuple) and len(there) <= 64:
        yield from enumerate(there)


def _is_module(there: Any) -> bool:
    return (
        isinstance(there, Object) and isinstance(there.state, dict) and {"_modules", "_parameters"} <= set(there.state)
    )


def _is_plain(value: Any, depth: int) -> bool:
    """Whether there is nothing in it but texts, numbers, tensors, and lists and dicts of them."""
    inside = [*value, *value.values()] if isinstance(value, dict) else value if isinstance(value, list | tuple) else []
    plain = isinstance(value, dict | list | tuple | str | int | float | bool | bytes | torch.Tensor | None)
    return plain and depth < DEEPEST and all(_is_plain(one, depth + 1) for one in inside)


def _joined(path: str, name: str) -> str:
    return f"{path}.{name}" if path and name else path or name


def _some(names: tuple[str, ...], most: int = 6) -> str:
    return ", ".join(names[:most]) + (", ..." if len(names) > most else "")


def _damaged(path: Path, exc: BaseException) -> BadInput:
    if isinstance(exc, pickle.UnpicklingError):
        return UnsafeFile(
            f"{clean(path.name)} is not a checkpoint that can be read without running it: "
            f"{clean(first_line(exc), 160)}",
            f"save the weights again: {SAVE}",
        )
    return BadInput(
        f"{clean(path.name)} is damaged, truncated, or not what its name says: {clean(first_line(exc), 160)}",
        "copy or save the file again",
    )
