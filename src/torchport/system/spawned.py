"""A call in a fresh child process, for systems where forking is not safe or not there.

`python -m torchport.system.spawned FOLDER` is the child. What the call needs goes through files in a folder that only
this user may enter, written by the parent and read by its own child; no file of a user or of a Bundle is ever unpickled
here. PyTorch's own formats carry what does not pickle: exported programs and TorchScript.
"""

from __future__ import annotations

import io
import json
import os
import pickle
import subprocess
import sys
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from ..errors import ExportError
from ..figures import seconds
from .disk import temporary
from .noise import quiet

_CALL, _ANSWER, _PATHS = "call.pickle", "answer.pickle", "paths.json"


def call(
    function: Callable[..., Any], args: tuple[Any, ...], log: Path | None, limit_s: float, what: str
) -> tuple[bool, Any]:
    """(True, the answer) or (False, the exception) of `function(*args)` in a fresh process.

    Raises:
        ExportError: the call cannot be handed over, did not finish in time, or crashed; the code it ended with is in
        the message.
    """
    with temporary() as folder:
        imports = sorted({module for arg in args for module in getattr(arg, "imports", ())})
        (folder / _PATHS).write_text(json.dumps({"path": sys.path, "imports": imports}))
        try:
            (folder / _CALL).write_bytes(_dumps((function, args)))
        except Exception as exc:  # any object of the user's may refuse
            raise ExportError(
                f"{what}: the model cannot be handed to a child process ({type(exc).__name__}: {exc})"[:300],
                "give it as file.py:Name with --weights, or as a .pt2",
            ) from exc
        with Path(log or os.devnull).open("ab") as noise:
            command = [sys.executable, "-P", "-m", __name__, str(folder)]
            environment = {
                **os.environ,
                "PYTHONPATH": os.pathsep.join(
                    [str(Path(__file__).parents[2]), *filter(None, [os.environ.get("PYTHONPATH")])]
                ),
            }
            child = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=noise, stderr=noise, env=environment)
            try:
                code = child.wait(limit_s)
            except subprocess.TimeoutExpired:
                raise ExportError(
                    f"{what} did not finish in {seconds(limit_s)}",
                    "raise the limit with --limit, or leave this target out",
                ) from None
            finally:
                child.kill()
                child.wait()
        if not (folder / _ANSWER).is_file():
            raise Crashed(code)
        good, answer = pickle.loads((folder / _ANSWER).read_bytes())  # noqa: S301 - written by our own child
        return good, answer


class Crashed(Exception):
    """The child ended without an answer."""

    def __init__(self, code: int | None) -> None:
        super().__init__(code)
        self.code = code


def _dumps(value: Any) -> bytes:
    """Pickled, with classes and functions of the user's own files by value: a fresh process may not find them."""
    try:
        import cloudpickle  # type: ignore[import-untyped]
    except ImportError:  # the run half: what it calls is all importable
        return pickle.dumps(value)

    class Pickler(cloudpickle.Pickler):  # type: ignore[misc]
        def reducer_override(self, obj: Any) -> Any:
            torch = sys.modules.get("torch")
            if torch is not None and isinstance(obj, torch.nn.Module):
                return _reduced_module(obj, torch, type(self))
            if torch is not None and hasattr(torch, "export") and isinstance(obj, torch.export.ExportedProgram):
                return _exported, (_saved(lambda out: torch.export.save(obj, out)),)
            return super().reducer_override(obj)

    for module in _own_modules():
        cloudpickle.register_pickle_by_value(module)
    try:
        out = io.BytesIO()
        Pickler(out).dump(value)
        return out.getvalue()
    finally:
        for module in _own_modules():
            if module.__name__ in cloudpickle.list_registry_pickle_by_value():
                cloudpickle.unregister_pickle_by_value(module)


def _own_modules() -> list[Any]:
    """Modules that were loaded from a file which a fresh process would not find by their name."""
    found = []
    for name, module in list(sys.modules.items()):
        file = getattr(module, "__file__", None)
        if file and name != "__main__" and "." not in name and not _is_on_path(Path(file)):
            found.append(module)
    return found


def _is_on_path(file: Path) -> bool:
    places = {os.path.abspath(place or os.curdir) for place in sys.path}  # noqa: PTH100 - links stay as they are
    parent = file.parent if file.name != "__init__.py" else file.parent.parent
    return str(parent) in places or any(
        str(parent).startswith(place + os.sep) for place in (sys.prefix, sys.base_prefix)
    )


def _reduced_module(module: Any, torch: Any, pickler: type) -> Any:
    """A module as TorchScript's own bytes, or pickled by itself; one that refuses is left out, where an exported
    program stands for it.
    """
    if isinstance(module, torch.jit.ScriptModule):
        return _scripted, (_saved(lambda out: torch.jit.save(module, out)),)
    if isinstance(
        module, torch.fx.GraphModule
    ):  # an exported program's own module, which does not come back from a pickle
        return _nothing, ()
    out = io.BytesIO()

    class Plain(pickler):  # type: ignore[misc]
        def reducer_override(self, obj: Any) -> Any:
            if isinstance(obj, torch.nn.Module) and not isinstance(obj, torch.jit.ScriptModule):
                return NotImplemented
            return super().reducer_override(obj)

    try:
        Plain(out).dump(module)
    except Exception:
        return _nothing, ()
    return pickle.loads, (out.getvalue(),)


def _saved(save: Callable[[io.BytesIO], None]) -> bytes:
    out = io.BytesIO()
    with quiet():
        save(out)
    return out.getvalue()


def _exported(content: bytes) -> Any:
    import torch

    program = torch.export.load(io.BytesIO(content))
    program._guards_code = []
    return program


def _scripted(content: bytes) -> Any:
    import torch

    return torch.jit.load(io.BytesIO(content))  # type: ignore[no-untyped-call]


def _nothing() -> None:
    return None


def main(arguments: Sequence[str]) -> None:
    """Make the call that lies in a folder, and leave the answer there."""
    from .child import answered, die_with_parent

    die_with_parent()
    folder = Path(arguments[0])
    given = json.loads((folder / _PATHS).read_text())
    sys.path[:] = given["path"]
    for module in given["imports"]:
        __import__(module)
    warnings.simplefilter("ignore")

    def work() -> Any:
        function, args = pickle.loads((folder / _CALL).read_bytes())  # noqa: S301 - written by our own parent
        torch = sys.modules.get("torch")
        if torch is not None:
            torch.set_num_threads(1)  # as in a forked child
        return function(*args)

    answer = answered(work, None)
    try:
        content = pickle.dumps(answer)
    except Exception as exc:
        content = pickle.dumps((False, ExportError(f"the answer cannot be handed back: {exc}"[:300])))
    scratch = folder / f"{_ANSWER}.new"
    scratch.write_bytes(content)
    scratch.replace(folder / _ANSWER)
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(0)  # some runtimes crash in their teardown


if __name__ == "__main__":
    main(sys.argv[1:])
