"""The verbs as Python functions: the same names and meanings as on the command line."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import torch

    from .capture.assemble import Assembled
    from .deploy import Outcome
    from .documents import DiffDocument
    from .export import Exported
    from .predict import Predictor
    from .request import Request
    from .types import Choice, Reference
    from .verify import Verdict


def _request(source: str | torch.nn.Module, output: str | Path, **fields: Any) -> Request:
    """A Request; paths may be given as text, and `golden` as on the command line."""
    from .request import Request, golden

    readers = {**dict.fromkeys(("data", "weights", "log", "calibration", "test"), Path), "golden": golden}
    given = {name: read(fields[name]) for name, read in readers.items() if isinstance(fields.get(name), str)}
    return Request(source=source, output=Path(output), **{**fields, **given})


def load(bundle: str | Path, **options: Any) -> Predictor:
    """Open a Bundle for prediction; options are those of `Predictor`."""
    from .predict import Predictor

    return Predictor(bundle, **options)


def capture(source: str | torch.nn.Module, *, task: str | None = None, **options: Any) -> Assembled:
    """Capture a model with its task; options are the fields of `deploy.Request`."""
    from .attempt import capture as do

    return do(_request(source, "unused.tport", task=task, **options), lambda stage, detail: None)


def export(source: str | torch.nn.Module, output: str | Path, *, task: str | None = None, targets: Sequence[str] | None = None, **options: Any) -> list[Exported]:
    """Convert a model, check every artefact, and write them to a folder."""
    from .export import export as do

    return do(_request(source, output, task=task, targets=targets, **{"recipes": ["fp32"], **options}))


def deploy(source: str | torch.nn.Module, output: str | Path, *, task: str | None = None, settings: Mapping[str, Any] | None = None, **options: Any) -> Outcome:
    """The whole job; options are the fields of `deploy.Request`.

    Raises:
        BudgetNotMet: nothing met the budget; no Bundle was written, the report names the nearest misses.
    """
    from .deploy import deploy as do

    outcome = do(_request(source, output, task=task, settings=settings or {}, **options))
    if outcome.bundle is None:
        raise outcome.not_met()
    return outcome


def verify(bundle: str | Path, *, trust: bool = False) -> Verdict:
    """Hash every file of a Bundle and hold every variant against its golden vectors."""
    from .bundle import Bundle
    from .verify import verify as do

    with Bundle(bundle) as opened:
        return do(opened, trusted=trust)


def bench(bundle: str | Path, *, trust: bool = False, quick: bool | None = None) -> tuple[Choice, Reference]:
    """Time every variant of a Bundle here, beside the eager model; `quick` for a moment only."""
    from .bundle import Bundle
    from .rebench import bench as do

    with Bundle(bundle) as opened:
        return do(opened, trusted=trust, quick=quick)


def diff(old: str | Path, new: str | Path, *, data: str | Path | None = None, **options: Any) -> DiffDocument:
    """Compare an old Bundle with a new one; options are those of `torchport.diff.diff`: `budget`, `variant`, `trusted`, `tell`."""
    from .diff import diff as do

    return do(Path(old), Path(new), data=None if data is None else Path(data), **options)
