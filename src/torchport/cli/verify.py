"""`torchport verify`: check every file and every variant of a Bundle."""

from __future__ import annotations

from ..errors import ParityError
from ..figures import count
from .shared import BundlePath, Json, Progress, Trust, document, note, typed, verb


@verb
def run(bundle: BundlePath, trust: Trust = False, as_json: Json = False) -> None:
    """Check every file of a Bundle and every variant against its golden vectors."""
    from ..bundle import Bundle
    from ..verification import verify
    from . import tables

    with Bundle(bundle) as opened, Progress() as progress:
        verdict = verify(opened, trusted=trust, progress=lambda row: progress.tell("verify", row))
    if as_json:
        document(verdict)
    else:
        tables.verdicts(verdict.variants)
    failed = [row for row in verdict.variants if row.status == "failed"]
    if failed:
        raise ParityError(
            f"{failed[0].id} does not answer like the model: {failed[0].reason}",
            "use another variant, or deploy again on this machine",
        )
    absent = [row.id for row in verdict.variants if row.status == "absent"]
    checked = len(verdict.variants) - len(absent)
    if not verdict.ok:
        note("note: no variant can run here, so nothing but the hashes was checked; see `torchport doctor`")
    elif absent:
        note(
            f"note: checked {checked} of {len(verdict.variants)} variants; not checked, because they cannot run here: "
            f"{', '.join(absent)}; see `torchport doctor`"
        )
    elif not as_json:
        print(f"checked {checked} of {count(len(verdict.variants), 'variant')}: ok")
    if not as_json:
        print(f"next:   {typed('torchport', 'predict', bundle)} YOUR_INPUT")
