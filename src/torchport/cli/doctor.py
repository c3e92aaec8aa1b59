"""`torchport doctor`: what this machine has, which targets work, and what to mend."""

from __future__ import annotations

from .shared import Json, document, verb


@verb
def run(as_json: Json = False) -> None:
    """What this machine has, which targets work, and what to mend."""
    import msgspec

    from ..doctor import examine
    from . import tables

    found = examine()
    if as_json:
        document(found)
        return
    for key, value in msgspec.structs.asdict(found.machine).items():
        print(f"{key:>14}: {', '.join(map(str, value)) if isinstance(value, list | tuple) else value}")
    tables.targets(found.targets)
    for finding in found.findings:
        print(f"- {finding}")
    print("next:   torchport demo")
