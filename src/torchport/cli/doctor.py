"""`torchport doctor`: what this machine has, which targets work, and what to mend."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ..figures import DASH, count, size
from .shared import Json, Progress, Trust, document, typed, verb

if TYPE_CHECKING:
    from ..targets.shared.survey import VariantFindings

Opened = Annotated[
    Path | None,
    typer.Argument(metavar="[BUNDLE]", help="A .tport folder or file: also what really runs of each of its variants."),
]


@verb
def run(bundle: Opened = None, trust: Trust = False, as_json: Json = False) -> None:
    """What this machine has, which targets work, and what to mend; of a Bundle, what really runs here."""
    import msgspec

    from ..jobs.doctor import examine
    from . import tables

    found = examine()
    if bundle is not None:
        from ..jobs.probe import probe

        with Progress() as progress:
            rows = probe(bundle, trusted=trust, tell=lambda one: progress.tell("probe", one))
        found = msgspec.structs.replace(found, variants=tuple(rows))
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
    for row in found.variants:
        print(f"{row.id}: {_ran(row)}")
        for finding in row.findings:
            print(f"- {finding}")
    print(f"next:   {typed('torchport', 'bench', bundle) if bundle else 'torchport demo'}")


def _ran(row: VariantFindings) -> str:
    """What a variant runs by, graphs that say the same together."""
    said = {
        ", ".join(
            str(part)
            for part in (
                f"{one.library} {one.version}",
                one.provider,
                one.precision,
                count(one.threads, "thread") if one.threads else None,
            )
            if part
        )
        for one in row.used.values()
    }
    return "; ".join(sorted(said)) if row.status == "ok" else f"{row.status}: {row.reason}"


def _written(key: str, value: Any) -> str:
    if key.endswith("_bytes"):
        return size(value)
    return ", ".join(map(str, value)) if isinstance(value, list | tuple) else DASH if value is None else str(value)
