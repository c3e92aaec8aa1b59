"""What ExecuTorch's runtime says as it fails, in words."""

from __future__ import annotations

import contextlib
import io
import re
from collections.abc import Callable
from typing import Any

from ...system.disk import temporary
from ...system.noise import redirected

_ERRORS = {
    "0x12": "an operator refuses its inputs",
    "0x14": "the runtime lacks an operator",
    "0x21": "the memory planned for the greatest sizes is not to be had",
    "0x23": "the file is damaged, or of another version",
}
"""What the runtime's error codes mean."""


def meaning(text: str) -> str:
    """What the runtime says, its error code in words where that is known."""
    if "bad_alloc" in text:
        return f"{_ERRORS['0x21']} ({text})"
    code = re.search(r"error:? (0x:?[0-9a-f]+)", text)
    said = _ERRORS.get(code[1].replace(":", "")) if code else None
    return f"{said} ({text})" if said else text


def blamed(method: Callable[..., Any], given: Any) -> str:
    """The operator that a method fails in, which the runtime tells standard error alone; empty where it does not."""
    with temporary() as folder:
        log, printed = folder / "said", io.StringIO()  # the binding for Python writes to sys.stderr
        with redirected(log), contextlib.redirect_stderr(printed), contextlib.suppress(RuntimeError):
            method(given)
        said = log.read_text(errors="replace") if log.is_file() else ""
    found = re.search(r"in operator (\S+?):?\s", said + printed.getvalue())
    return f" in {found[1]}" if found else ""
