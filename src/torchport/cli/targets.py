"""`torchport targets`: the support matrix."""

from __future__ import annotations

from .shared import Json, document, verb


@verb
def run(as_json: Json = False) -> None:
    """The support matrix: what can be made and run here."""
    from ..jobs.doctor import target_rows
    from ..targets.shared.survey import TargetsDocument
    from . import tables

    rows = target_rows()
    if as_json:
        document(TargetsDocument(targets=tuple(rows)))
        return
    tables.targets(rows)
    missing = [r for r in rows if r.status != "ok"]
    print(f"next:   {missing[0].install}" if missing else "next:   torchport deploy SOURCE -o NAME.tport")
