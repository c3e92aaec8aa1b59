"""`torchport new`: a package with a target or a task that works and passes its conformance run, to be changed."""

from __future__ import annotations

import re
from importlib.resources import files
from pathlib import Path
from string import Template
from typing import Any

from ..documents import NewDocument
from ..errors import UsageError
from ..registry import Registry
from ..system.disk import need_empty, writing
from ..targets import targets
from ..tasks import tasks

KINDS: dict[str, Registry[Any]] = {"target": targets, "task": tasks}
_NAMES = {"target": r"[a-z][a-z0-9_]*", "task": r"[a-z][a-z0-9-]*"}
_FORMS = {"target": "small letters, digits and _", "task": "small letters, digits and -"}


def new(kind: str, name: str, output: Path | None = None) -> NewDocument:
    """Write the package `torchport-NAME`.

    Args:
        kind: `target` or `task`.
        output: its folder; `torchport-NAME` in the working folder when None.

    Raises:
        UsageError: another kind, or a name that cannot be one or is taken.
        OutputError: the folder is there and not empty, or cannot be written.
    """
    if kind not in KINDS:
        raise UsageError(f"there is no kind '{kind}' to begin", f"it is one of {', '.join(KINDS)}")
    if not re.fullmatch(_NAMES[kind], name):
        raise UsageError(f"'{name}' is no name of a {kind}", f"it takes {_FORMS[kind]}, and begins with a letter")
    if name in KINDS[kind].names():
        raise UsageError(f"there is a {kind} '{name}' already", "give it another name")
    module, dashed = name.replace("-", "_"), name.replace("_", "-")
    folder = output or Path(f"torchport-{dashed}")
    need_empty(folder)
    words = {
        "kind": kind,
        "name": name,
        "module": module,
        "dashed": dashed,
        "class_name": "".join(part.capitalize() for part in module.split("_")),
    }
    made = {
        "pyproject.toml": "pyproject.toml.txt",
        f"torchport_{module}.py": f"{kind}.py.txt",
        f"test_{module}.py": f"test_{kind}.py.txt",
    }
    skeletons = files("torchport").joinpath("data", "skeletons")
    with writing(folder):
        folder.mkdir(parents=True, exist_ok=True)
        for path, skeleton in made.items():
            text = Template(skeletons.joinpath(skeleton).read_text(encoding="utf-8")).substitute(words)
            (folder / path).write_text(text, encoding="utf-8")
    return NewDocument(folder=str(folder), files=tuple(made))
