"""Opening the files of a stranger: nothing in them runs (build half: needs torch).

`.pt2` archives and weights are opened only by readers that cannot execute; a TorchScript archive is a program, and is
opened only where the user named it as the model itself.
"""

from __future__ import annotations

import os
import pickle
import re
import struct
import warnings
import zipfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from ..errors import BadInput, UnsafeFile
from .archive import HINT, check_program, check_records

if TYPE_CHECKING:
    import torch
    from torch.export import ExportedProgram

Kind = Literal["scripted", "exported", "weights", "hf-dir", "unknown"]

PICKLE_HINT = "save the weights again: torch.save(model.state_dict(), 'weights.pt'), or as .safetensors"
WRAPPERS = ("state_dict", "model_state_dict", "model", "params")
FORCE, FORCE_NOT = "TORCH_FORCE_WEIGHTS_ONLY_LOAD", "TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD"


def kind_of(path: Path) -> Kind:
    """What a file or folder holds, told by its content and not by its suffix.

    Returns:
        `scripted` (TorchScript), `exported` (torch.export), `weights` (safetensors, or any pickle), `hf-dir` (a folder
        with `config.json`), else `unknown`.

    Raises:
        BadInput: there is no such file, or it is a damaged archive.
    """
    if path.is_dir():
        return "hf-dir" if (path / "config.json").is_file() else "unknown"
    _require(path)
    with path.open("rb") as file:
        head = file.read(9)
    if head.startswith(b"PK\x03\x04"):
        return _kind_of_archive(path)
    is_safetensors = len(head) == 9 and head[8:] == b"{" and struct.unpack("<Q", head[:8])[0] < path.stat().st_size
    return "weights" if is_safetensors or head.startswith(b"\x80") else "unknown"


def _kind_of_archive(path: Path) -> Kind:
    try:
        with zipfile.ZipFile(path) as archive:
            members = {name.partition("/")[2] or name for name in archive.namelist()}
    except (zipfile.BadZipFile, OSError) as exc:
        raise _damaged(path, exc) from exc
    if "archive_format" in members or "serialized_exported_program.json" in members:
        return "exported"
    if "constants.pkl" in members:
        return "scripted"
    return "weights" if "data.pkl" in members else "unknown"


def load_exported(path: Path) -> ExportedProgram:
    """Open a `.pt2` so that nothing in it can execute, not even when its module runs later.

    The archive may hold only what torch.export.save writes (see `archive`), its tensors are unpickled with weights_only
    in force, and the guards that torch would turn into generated code are dropped: a Signature says what the graph takes.

    Raises:
        UnsafeFile: it contains code, or objects that only code can rebuild.
        BadInput: it is missing, damaged, or not a `.pt2` this torch can read.
    """
    from torch.export.pt2_archive import PT2ArchiveReader
    from torch.export.pt2_archive._package import load_pt2

    _require(path)
    try:
        with path.open("rb") as file, weights_only():
            reader = PT2ArchiveReader(file)
            records = reader.get_file_names()
            check_records(records)
            for record in records:
                if record.endswith(("models/model.json", "_config.json")):
                    check_program(reader.read_bytes(record))
            file.seek(0)
            program = load_pt2(file).exported_programs["model"]
    except UnsafeFile as exc:
        raise UnsafeFile(f"{path.name}: {exc.message}", exc.hint) from exc
    except pickle.UnpicklingError as exc:
        raise UnsafeFile(f"{path.name} contains code{_wanted(exc)}; refused, never executed", HINT) from exc
    except Exception as exc:  # a damaged archive fails in whatever part of the reader meets it first
        raise BadInput(f"{path.name} is damaged, or not a .pt2 of this torch: {_first_line(exc)}", HINT) from exc
    program._guards_code = []
    return program


def load_weights(path: Path) -> dict[str, torch.Tensor]:
    """The tensors of a `.safetensors`, or of a `.pt`/`.pth`/`.bin` checkpoint, on the CPU, by name.

    The common wrappings (`{"state_dict": ...}`, `{"model": ...}`, a `module.` before every key) are taken off.

    Raises:
        UnsafeFile: the file is a pickle with more than tensors in it.
        BadInput: it is missing, damaged or holds no tensors by name.
    """
    import torch

    kind = kind_of(path)
    if kind in ("scripted", "exported", "hf-dir"):
        raise BadInput(f"{path.name} is not a weights file but a whole model ({kind})", "give it as the source, without --weights")
    try:
        if _is_safetensors(path):
            from safetensors.torch import load_file

            tensors: dict[str, torch.Tensor] = load_file(path)
            return tensors
        with weights_only(), warnings.catch_warnings():
            warnings.simplefilter("ignore")  # about pickle protocols: what may pass is decided by weights_only alone
            loaded = torch.load(path, weights_only=True, map_location="cpu")
    except pickle.UnpicklingError as exc:
        # The restricted reader stops at the first thing that is no tensor; in a file that is no pickle at all it only stumbles.
        if kind == "weights" or "global" in str(exc).lower():
            raise UnsafeFile(f"{path.name} contains code{_wanted(exc)}; refused, never executed", PICKLE_HINT) from exc
        raise _damaged(path, exc) from exc
    except Exception as exc:  # damage surfaces as any exception
        raise _damaged(path, exc) from exc
    return _tensors(loaded, path)


def load_scripted(path: Path) -> torch.jit.ScriptModule:
    """Open a TorchScript archive on the CPU, in eval mode. It is a program: open only what the user named as the model.

    Raises:
        BadInput: it is missing, damaged, or not TorchScript.
    """
    import torch

    _require(path)
    try:
        with path.open("rb") as file:
            module: torch.jit.ScriptModule = torch.jit.load(file, map_location="cpu")  # type: ignore[no-untyped-call]
    except Exception as exc:  # damage surfaces as any exception
        raise _damaged(path, exc) from exc
    return module.eval()


@contextmanager
def weights_only() -> Iterator[None]:
    """Make every torch.load inside refuse to unpickle more than tensors, whatever its caller asked for."""
    before = {name: os.environ.pop(name, None) for name in (FORCE, FORCE_NOT)}
    os.environ[FORCE] = "1"
    try:
        yield
    finally:
        del os.environ[FORCE]
        os.environ.update({name: value for name, value in before.items() if value is not None})


def _is_safetensors(path: Path) -> bool:
    with path.open("rb") as file:
        return file.read(9)[8:] == b"{"


def _tensors(loaded: Any, path: Path) -> dict[str, torch.Tensor]:
    import torch

    while isinstance(loaded, Mapping) and (inner := next((loaded[k] for k in WRAPPERS if isinstance(loaded.get(k), Mapping)), None)) is not None:
        loaded = inner
    tensors = {str(k): v for k, v in loaded.items() if isinstance(v, torch.Tensor)} if isinstance(loaded, Mapping) else {}
    if not tensors:
        raise BadInput(f"{path.name} holds a {type(loaded).__name__}, not tensors by name", PICKLE_HINT)
    if all(name.startswith("module.") for name in tensors):
        tensors = {name.removeprefix("module."): tensor for name, tensor in tensors.items()}
    return tensors


def _require(path: Path) -> None:
    if not path.is_file():
        raise BadInput(f"there is no file '{path}'", "check the path")


def _damaged(path: Path, exc: BaseException) -> BadInput:
    return BadInput(f"{path.name} is damaged, truncated, or not what its name says: {_first_line(exc)}", "copy or save the file again")


def _wanted(exc: pickle.UnpicklingError) -> str:
    """What a pickle wanted to call, where the restricted reader says so."""
    found = re.search(r"GLOBAL:? ([\w.]+)", str(exc), re.IGNORECASE)
    return f" ({found[1]})" if found else ""


def _first_line(exc: BaseException) -> str:
    text = next((line.strip() for line in str(exc).splitlines() if line.strip()), "")
    return f"{type(exc).__name__}: {text}"[:160] if text else type(exc).__name__
