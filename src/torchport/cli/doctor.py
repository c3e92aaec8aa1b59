"""`torchport doctor`: what this machine has, which targets work, and what to mend."""

from __future__ import annotations

from typing import Any

from ..figures import DASH, size
from .shared import Json, document, verb


@verb
def run(as_json: Json = False) -> None:
    """What this machine has, which targets work, and what to mend."""
    import msgspec

    from ..jobs.doctor import examine
    from . import tables

    found = examine()
    if as_json:
        document(found)
        return
    tables.said(
        [
            (key.removesuffix("_bytes").replace("_", " "), _written(key, value))
            for key, value in msgspec.structs.asdict(found.machine).items()
        ]
    )
    tables.targets(found.targets)
    for finding in found.findings:
        print(f"- {finding}")
    print("next:   torchport demo")


def _written(key: str, value: Any) -> str:
    if key.endswith("_bytes"):
        return size(value)
    return ", ".join(map(str, value)) if isinstance(value, list | tuple) else DASH if value is None else str(value)
