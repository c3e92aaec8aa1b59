"""`torchport debug SOURCE`: the first layer of an artefact that leaves the model, also where no Bundle comes of it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from ..deployment.explore import capture
from ..deployment.lower import Lowering, wanted
from ..deployment.prove import prove_reference
from ..errors import TorchportError, UsageError
from ..types import PLAIN
from ..verification.diverging import DebugDocument
from .debug import Found, Suspect, diverges

if TYPE_CHECKING:
    from torch.export import ExportedProgram

    from ..deployment.request import Request


def debug_source(
    request: Request, folder: Path, *, item: int = 0, tell: Callable[[str], None] = lambda _: None
) -> tuple[DebugDocument, Found | None]:
    """Capture a model, export it to one target or two, and find where the first leaves the model, or the second.

    Args:
        folder: where the artefacts go; what is found rests on them.
        item: number of the item, from 0.

    Raises:
        UsageError: neither one target nor two are named, or there is no such item.
        TorchportError: the model cannot be captured, or a target cannot express it; names the operator where it can be
        told.
    """
    names = list(request.targets or ())
    if len(names) not in (1, 2):
        raise UsageError(
            "a source is debugged on one target, or on two that are held against each other",
            "name them, as in --targets onnx or --targets onnx,openvino",
        )
    assembled = capture(request, lambda stage, detail: tell(f"{stage}: {detail}"), request.log)
    proven = prove_reference(assembled, tell)
    if not 0 <= item < len(proven.traces):
        raise UsageError(f"there is no item {item} here", f"give a number from 0 to {len(proven.traces) - 1}")
    lowering = Lowering(folder, {}, request.log or folder / "log.txt")

    def program(graph: str) -> ExportedProgram | None:
        return assembled.program.graphs[graph].exported

    found = []
    for row in wanted(names, [PLAIN]):
        tell(f"{row.id}: exporting")
        made = lowering.row(row, assembled.program, request.limit_s)
        if made.artifact is None:
            raise made.error or TorchportError(f"{row.id} was not made")
        found.append(Suspect(row.id, made.artifact, folder / row.id, proven.plan, proven.traces[item], program))
    return diverges(replace(found[0], other=found[1]) if len(found) > 1 else found[0], tell)
