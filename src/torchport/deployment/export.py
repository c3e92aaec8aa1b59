"""Convert a model and check every artefact, without measuring or choosing: the files themselves are the result."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..bundle import writer
from ..system import isolate
from ..system.disk import need_empty, temporary, writing
from ..types import CandidateStatus, FailedAt, Value
from .explore import ProgressCallback, explore, log_name

if TYPE_CHECKING:
    from .request import Request


class Exported(Value, frozen=True):
    """One row of `export --json`; `files` are relative to the output folder."""

    id: str
    target: str
    recipe: str
    status: CandidateStatus
    files: tuple[str, ...] = ()
    max_rel: float | None = None
    reason: str | None = None
    failed_at: FailedAt | None = None


class ExportDocument(Value, frozen=True):
    """What `export` prints."""

    folder: str
    artifacts: tuple[Exported, ...]


def export(request: Request, tell: ProgressCallback = lambda stage, detail: None) -> list[Exported]:
    """Write `<output>/<target>-<recipe>/` for every row that answers like the model.

    Raises:
        OutputError: the output folder exists and is not empty.
        TorchportError: nothing could be made.
    """
    target = request.output
    need_empty(target)
    with writing(target), isolate.log_file(request.log, log_name(target)) as noise, temporary() as scratch:
        folder = scratch / "out"
        candidates = explore(request, folder, noise.path, tell).candidates
        noise.keep = any(c.status == "failed" for c in candidates)
        rows = []
        for c in candidates:
            place = folder / c.id
            files = (
                tuple(sorted(p.relative_to(folder).as_posix() for p in place.rglob("*") if p.is_file()))
                if c.status in ("ok", "unverified")
                else ()
            )
            rows.append(
                Exported(
                    id=c.id,
                    target=c.target,
                    recipe=c.recipe,
                    status=c.status,
                    files=files,
                    max_rel=c.parity.max_rel if c.parity else None,
                    reason=c.reason,
                    failed_at=c.failed_at,
                )
            )
        writer.place_folder(folder, target, {r.id for r in rows if r.files})
    return rows
