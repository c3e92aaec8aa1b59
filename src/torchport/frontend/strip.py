"""Write torch.export programs so that the same model gives the same bytes anywhere, and tells nothing about its maker.

What torch.export records and must not leave the machine: absolute paths in stack traces, the values of the example
inputs, object addresses used as keys. Line numbers, source lines and module paths stay, because `debug` names them.
"""

from __future__ import annotations

import copy
import io
import re
from pathlib import Path, PurePath, PurePosixPath, PureWindowsPath
from typing import TYPE_CHECKING, Any

from ..system.disk import write_file
from ..system.noise import quiet

if TYPE_CHECKING:
    import torch
    from torch.export import ExportedProgram

_FRAME = re.compile(r'File "([^"\n]+)"')
_GENERATED = re.compile(r"(<eval_with_key>)\.\d+")
_LIBRARIES = ("site-packages", "dist-packages")


def scrub(program: ExportedProgram) -> ExportedProgram:
    """A copy for saving: no absolute paths, no object addresses, example inputs all zeros; weights are shared.

    Stack traces keep their line numbers and source lines, with the paths of `relative_source`; module paths
    (`nn_module_stack`) keep their names, with keys made of the path instead of an address.
    """
    import torch
    from torch.utils import _pytree as pytree

    clean = copy.copy(program)
    clean._graph_module = copy.deepcopy(program.graph_module)  # the weights live beside it, in the state dict
    for original, module in zip(program.graph_module.modules(), clean.graph_module.modules(), strict=True):
        if isinstance(module, torch.fx.GraphModule) and isinstance(original, torch.fx.GraphModule):
            for before, node in zip(original.graph.nodes, module.graph.nodes, strict=True):
                node.name, node.target = (
                    before.name,
                    before.target,
                )  # a copied graph calls an argument `input` `input_1`
                _scrub_meta(node.meta)
    if program.example_inputs is not None:
        clean.example_inputs = pytree.tree_map_only(torch.Tensor, _zeros, program.example_inputs)
    return clean


def save_exported(program: ExportedProgram, path: Path) -> None:
    """Write a program as `.pt2`, scrubbed: the same bytes for the same model, whatever the folder and the process.

    Raises:
        OutputError: the file cannot be written; what was there before is left as it was.
    """
    import torch

    buffer = io.BytesIO()  # torch.export.save would write the file's name into the archive
    with quiet(("No complete tensor found", Warning)):  # of views of one storage: right for weights on the CPU
        torch.export.save(scrub(program), buffer)
    write_file(path, buffer.getbuffer())


def relative_source(path: str) -> str:
    """A source file's path without what only this machine knows.

    Installed packages become `package/module.py`; a file inside a package starts at the outermost folder that has an
    `__init__.py`; any other file is its name alone. A name that is no path (`<string>`) or is relative stays.
    """
    pure: PurePath = PureWindowsPath(path) if re.match(r"[A-Za-z]:[\\/]", path) else PurePosixPath(path)
    if not pure.is_absolute():
        return _GENERATED.sub(r"\1", path)
    for library in _LIBRARIES:
        if library in pure.parts:
            last = max(i for i, part in enumerate(pure.parts) if part == library)
            return "/".join(pure.parts[last + 1 :])
    folder = Path(path).parent
    depth = 1
    while (folder / "__init__.py").is_file():
        folder, depth = folder.parent, depth + 1
    return "/".join(pure.parts[-depth:])


def relative_sources(text: str) -> str:
    """The text of a stack trace with every `File "..."` made relative by `relative_source`."""
    return _FRAME.sub(lambda frame: f'File "{relative_source(frame[1])}"', text)


def _scrub_meta(meta: dict[str, Any]) -> None:
    """Clean one node's metadata, in place."""
    if trace := meta.get("stack_trace"):
        meta["stack_trace"] = relative_sources(trace)
    if stack := meta.get("nn_module_stack"):
        meta["nn_module_stack"] = {_module_key(key, path): (path, kind) for key, (path, kind) in stack.items()}
    meta.pop("from_node", None)  # a history of passes, told by the addresses of the graphs they made


def _module_key(key: str, path: str) -> str:
    _, at, call = key.partition("@")  # the second call of one module is marked `@1`
    return f"L__self__{path}{at}{call}"


def _zeros(example: torch.Tensor) -> torch.Tensor:
    import torch

    return torch.zeros(example.shape, dtype=example.dtype, device=example.device)
