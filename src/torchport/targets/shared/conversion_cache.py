"""Converted graphs in the user's cache: those around a model (decoding, resizing, scores) are the same from one model
to the next.

The key is all that a conversion depends on: what was captured, the bounds, the target's own code, and the versions of
the packages that convert. The hashes of the files are kept with them, so that a damaged entry is converted again and
never gets into a Bundle.
"""

from __future__ import annotations

import contextlib
import hashlib
import inspect
import shutil
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from ...system import cache, machine
from ...system.disk import writing
from ...types import GraphFile

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from torch.export import ExportedProgram

    from ...frontend.program import GraphProgram
    from ..base import ExportOptions, Target

_INDEX = "converted.json"
_CONVERTING = ("frontend", "targets", "targets/shared")
"""Folders of modules whose code decides what a conversion makes of a graph: folding, decompositions, every exporter."""


class Converted(msgspec.Struct, frozen=True):
    """What a target made of one graph.

    Attributes:
        graph: its files, as in an artefact.
        notes: what there was to say.
        sha256: file -> hash.
    """

    graph: GraphFile
    notes: tuple[str, ...]
    sha256: dict[str, str]


def once(
    target: Target, graph: GraphProgram, folder: Path, options: ExportOptions, parent: GraphFile | None
) -> tuple[GraphFile, Sequence[str]]:
    """What `target.convert` makes of a graph, from the cache where it did so before.

    Args:
        parent: the graph's files that the target starts from; they lie in `folder/parent`.
    """
    kept = place(target, graph, options, [folder / "parent" / name for name in parent.files] if parent else [])
    found = kept and recall(kept, folder)
    if found:
        return found.graph, found.notes
    made, notes = target.convert(graph, folder, options, parent)
    if kept:
        keep(kept, folder, made, notes)
    return made, notes


def place(target: Target, graph: GraphProgram, options: ExportOptions, parent: Iterable[Path]) -> Path | None:
    """The cache entry of a graph's conversion; None where nothing is kept, or the graph is not the text that
    torch.export writes.

    Args:
        parent: files of the same graph that the target starts from.
    """
    code = _own_code(target)
    if graph.exported is None or not code:
        return None
    shapes = [(name, array.dtype.name, array.shape) for name, array in graph.examples.items()]
    made = (graph.name, repr(graph.signature), repr(shapes), graph.rung, *_written(graph.exported))
    here = machine.describe()
    by = (
        target.name,
        type(target).__qualname__,
        repr(vars(target)),
        options.precision,
        repr((options.strength, options.max_batch, options.max_size)),
        *_versions(target),
        code,
        here.cpu,
        *here.instruction_sets,
    )
    return cache.entry("converted", *made, *by, *(cache.digest(path) for path in parent))


def recall(kept: Path, folder: Path) -> Converted | None:
    """Put an entry's files into a folder, all or none; None where there is no such entry, or it is damaged.

    Raises:
        OutputError: the folder cannot be written.
    """
    try:
        digest, _, index = (kept / _INDEX).read_bytes().partition(b"\n")
        if hashlib.sha256(index).hexdigest().encode() != digest:
            return None
        found = msgspec.json.decode(index, type=Converted)
        contents = {name: (kept / name).read_bytes() for name in found.sha256}
    except (OSError, msgspec.MsgspecError):
        return None
    if any(hashlib.sha256(contents[name]).hexdigest() != digest for name, digest in found.sha256.items()):
        return None
    for name, content in contents.items():
        with writing(folder / name):
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            (folder / name).write_bytes(content)
    return found


def keep(kept: Path, folder: Path, graph: GraphFile, notes: Sequence[str]) -> None:
    """Make what lies in a folder the entry; where the cache cannot be written, nothing happens."""
    fresh = cache.scratch(kept)
    if fresh is None:
        return
    with contextlib.suppress(OSError):
        for name in graph.files:
            (fresh / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(folder / name, fresh / name)
        index = msgspec.json.encode(
            Converted(graph, tuple(notes), {name: cache.digest(fresh / name) for name in graph.files})
        )
        (fresh / _INDEX).write_bytes(hashlib.sha256(index).hexdigest().encode() + b"\n" + index)
        if kept.exists():  # damaged, or made by another process meanwhile
            shutil.rmtree(kept, ignore_errors=True)
    cache.publish(fresh, kept)


def _written(exported: ExportedProgram) -> list[str]:
    """The program as text: its code, what its inputs and lengths may be, and the hashes of its tensors."""
    import torch

    from ...system.tensor_hash import state_hash

    code = [module.code for module in exported.graph_module.modules() if isinstance(module, torch.fx.GraphModule)]
    inputs = [repr((node.name, node.meta.get("val"))) for node in exported.graph.nodes if node.op == "placeholder"]
    held = {**exported.state_dict, **exported.constants}
    tensors = {name: value for name, value in held.items() if isinstance(value, torch.Tensor)}
    others = repr(sorted((name, repr(value)) for name, value in held.items() if name not in tensors))
    return [
        *code,
        *inputs,
        repr(exported.range_constraints),
        repr(exported.graph_signature),
        state_hash(tensors),
        others,
    ]


def _versions(target: Target) -> list[str]:
    found = []
    for package in dict.fromkeys(("torchport", "torch", *target.packages, *target.build_modules)):
        with contextlib.suppress(metadata.PackageNotFoundError):
            found.append(f"{package} {metadata.version(package)}")
    return found


def _own_code(target: Target) -> str:
    """A hash of the code that converts: the target's source, and the modules of this package that rewrite a graph or
    say how its file is spelled. One that is being written converts anew; empty where the target has no source."""
    with contextlib.suppress(OSError, TypeError):
        own = Path(inspect.getfile(type(target)))
        ours = sorted(path for folder in _CONVERTING for path in (Path(__file__).parents[2] / folder).glob("*.py"))
        return hashlib.sha256("".join(cache.digest(path) for path in (own, *ours)).encode()).hexdigest()
    return ""
