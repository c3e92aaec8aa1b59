"""Which line of the user's code an exception comes from, and in which submodule it happened."""

from __future__ import annotations

import linecache
import re
import sys
import sysconfig
import traceback
from collections.abc import Iterator
from pathlib import Path
from types import CodeType, FrameType
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    import torch

_OURS = Path(__file__).resolve().parents[1]
_STDLIB = sysconfig.get_paths()["stdlib"]
_TRACED = re.compile(r'File "([^"]+)", line (\d+), in (\w+)(?:\n[ ]+(.*))?')


class Place(NamedTuple):
    """A line of code: file as shown to the user (never an absolute path), line number, function, stripped text."""

    file: str
    line: int
    function: str
    text: str

    def __str__(self) -> str:
        return f"{self.file}:{self.line} in {self.function}" + (f": {self.text}" if self.text else "")


def place_of(exc: BaseException) -> Place | None:
    """The deepest line of the user's own code that an exception passed through, else of a library's other than torch.

    A syntax error names its own line.
    """
    if isinstance(exc, SyntaxError) and exc.filename:
        return Place(shown(exc.filename), exc.lineno or 0, "module", (exc.text or "").strip())
    frames = [
        (frame.f_code, line)
        for link in _chain(exc)
        for frame, line in traceback.walk_tb(link.__traceback__)
        if _is_foreign(frame)
    ]
    own = [found for found in frames if "site-packages" not in found[0].co_filename]
    if not frames:
        return None
    return _place(*(own or frames)[-1])


def here() -> Place | None:
    """The line of the user's own code that is being run, else that of a library other than torch."""
    frame: FrameType | None = sys._getframe(1)
    library = None
    while frame is not None:
        if _is_foreign(frame):
            if "site-packages" not in frame.f_code.co_filename:
                return _place(frame.f_code, frame.f_lineno)
            library = library or _place(frame.f_code, frame.f_lineno)
        frame = frame.f_back
    return library


def _place(code: CodeType, line: int) -> Place:
    return Place(shown(code.co_filename), line, code.co_name, linecache.getline(code.co_filename, line).strip())


def module_of(exc: BaseException, root: torch.nn.Module) -> str | None:
    """The path and class of the deepest submodule whose code an exception passed through, such as `block.gate
    (Gate)`.
    """
    paths = {id(module): (path, type(module).__name__) for path, module in root.named_modules()}
    found = None
    for link in _chain(exc):
        for frame, _ in traceback.walk_tb(link.__traceback__):
            found = paths.get(id(frame.f_locals.get("self")), found)
        if found:
            path, kind = found
            return f"{path} ({kind})" if path else kind
    return None


def shown(file: str) -> str:
    """A source file as its owner knows it: relative to the current folder or to its package, else the bare name."""
    path = Path(file)
    if path.is_relative_to(Path.cwd()) and "site-packages" not in path.parts:
        return path.relative_to(Path.cwd()).as_posix()
    parts = path.parts
    return "/".join(parts[parts.index("site-packages") + 1 :]) if "site-packages" in parts else path.name


def _chain(exc: BaseException) -> Iterator[BaseException]:
    """An exception and those it was raised from, the outermost first."""
    link: BaseException | None = exc
    seen: set[int] = set()
    while link is not None and id(link) not in seen:
        seen.add(id(link))
        yield link
        link = link.__cause__ or link.__context__


def _is_foreign(frame: FrameType) -> bool:
    """Whether a frame is neither torch's nor torchport's nor the standard library's."""
    file = frame.f_code.co_filename
    return not (file.startswith("<") or _is_torch(file))  # generated code, the import machinery


def _is_torch(file: str) -> bool:
    """Whether a file is torch's, torchport's or the standard library's."""
    import torch

    path = Path(file)
    return (
        path.is_relative_to(Path(torch.__file__).parent)
        or path.is_relative_to(_OURS)
        or (path.is_relative_to(_STDLIB) and "site-packages" not in path.parts)
    )


def line_of_trace(trace: str) -> Place | None:
    """The last line of the user's own code in a stack trace as torch.export keeps it, else that of a library other than
    torch."""
    lines = [found for found in _TRACED.findall(trace) if not (found[0].startswith("<") or _is_torch(found[0]))]
    own = [found for found in lines if "site-packages" not in found[0]]
    for file, line, function, text in reversed(own or lines):
        return Place(shown(file), int(line), function, text.strip())
    return None
