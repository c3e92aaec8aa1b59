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
    tables.show(
        "", ["target", "status", "version", "reason", "install"], [[r.name, r.status, r.version or "", r.reason or "", r.install if r.status != "ok" else ""] for r in found.targets], wrap=["reason"]
    )
    for finding in found.findings:
        print(f"- {finding}")
    print("next:   torchport demo")
