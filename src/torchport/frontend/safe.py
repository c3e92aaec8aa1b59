"""Opening the files of a stranger: nothing in them runs (build half: needs torch).

`.pt2` archives and weights are opened only by readers that cannot execute; a TorchScript archive is a program, and is
opened only where the user named it as the model itself.
"""

from __future__ import annotations

import os
import pickle
import re
import struct
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from ..errors import BadInput, UnsafeFile, first_line
from .archive import HINT, check_program, check_records

if TYPE_CHECKING:
    import torch
    from torch.export import ExportedProgram

Kind = Literal["scripted", "exported", "weights", "hf-dir", "unknown"]

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
    except Exception as exc:  # damage surfaces as any exception
        raise _damaged(path, exc) from exc
    if "archive_format" in members or "serialized_exported_program.json" in members:
        return "exported"
    if "constants.pkl" in members:
        return "scripted"
    return "weights" if "data.pkl" in members else "unknown"


def load_exported(path: Path) -> ExportedProgram:
    """Open a `.pt2` so that nothing in it can execute, not even when its module runs later.

    The archive may hold only what torch.export.save writes (see `archive`), its tensors are unpickled with weights_only
    in force, and the guards that torch would turn into generated code are dropped: a Signature says what the graph
    takes.

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
        raise BadInput(f"{path.name} is damaged, or not a .pt2 of this torch: {first_line(exc)}", HINT) from exc
    program._guards_code = []
    return program


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


def _require(path: Path) -> None:
    if not path.is_file():
        raise BadInput(f"there is no file '{path}'", "check the path")


def _damaged(path: Path, exc: BaseException) -> BadInput:
    return BadInput(
        f"{path.name} is damaged, truncated, or not what its name says: {first_line(exc)}",
        "copy or save the file again",
    )


def _wanted(exc: pickle.UnpicklingError) -> str:
    """What a pickle wanted to call, where the restricted reader says so."""
    found = re.search(r"GLOBAL:? ([\w.]+)", str(exc), re.IGNORECASE)
    return f" ({found[1]})" if found else ""
