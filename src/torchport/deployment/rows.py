"""The rows of a deploy, one after the other: each exported and at once held against the model, so that whenever it ends
something is proven.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import msgspec

from ..errors import TorchportError
from ..figures import seconds
from ..system import isolate
from ..system.clock import ROWS_SHARE, Clock
from ..targets import targets
from ..types import PLAIN, Candidate
from ..verification.culprit import PATIENCE_S, culprit
from .lower import Lowering, LoweringJob, LoweringResult
from .prove import Prover

if TYPE_CHECKING:
    from ..compress import Chain
    from ..frontend.program import Program
    from .prove import Baseline

STAGE = "export and verify"
"""The stage's name in progress."""

INTERRUPTED = "interrupted before all was tried"
OUT_OF_TIME = "the time given was up before all was tried"


@dataclass
class Rows:
    """What became of every row so far.

    Attributes:
        program: a chain's Program, or why there is none.
        prover: holds an artefact against the model.
        lowering: makes an artefact.
        baselines: chain name -> what its artefacts are held against; `program` fills it.
        stopped: why not every row was tried, in words; empty where every one was.
    """

    program: Callable[[Chain], Program | TorchportError]
    lowering: Lowering
    prover: Prover
    baselines: Mapping[str, Baseline]
    clock: Clock
    limit_s: float
    tell: Callable[[str, str], None]
    lowered: list[LoweringResult] = field(default_factory=list)
    candidates: list[Candidate] = field(default_factory=list)
    answers: dict[str, list[Any]] = field(default_factory=dict)
    stopped: str = ""

    @property
    def proven(self) -> bool:
        """Whether at least one row answers like the model."""
        return any(c.status == "ok" for c in self.candidates)

    def take(self, rows: Iterable[LoweringJob]) -> None:
        """Export and prove each row that was not yet taken. Once the time is up, or it was interrupted, the others are
        not tried; time only counts when one row is proven."""
        known = {c.id for c in self.candidates}
        for row in rows:
            if row.id in known:
                continue
            if self.proven and self.clock.left(ROWS_SHARE) <= 0:
                self.stopped = self.stopped or OUT_OF_TIME
            if self.stopped:
                self.candidates.append(_not_tried(row, self.stopped))
            else:
                self._one(row)

    def _one(self, row: LoweringJob) -> None:
        limit_s = self.clock.within(self.limit_s) if self.proven else self.limit_s
        self.tell(STAGE, f"{row.id}: exporting, at most {seconds(limit_s)}")
        low = self.lowering.row(row, self.program(row.recipe), limit_s)
        self.tell(STAGE, f"{row.id}: verifying, at most {seconds(limit_s)}")
        candidate, found = self.prover.prove(low, self.baselines, limit_s)
        if candidate.status == "failed" and self._can_be_rewritten(low):
            self.tell(STAGE, f"{row.id}: written otherwise, at most {seconds(limit_s)}")
            other = self.lowering.row(row, self.program(row.recipe), limit_s, rewrite=True)
            again, answers = self.prover.prove(other, self.baselines, limit_s)
            if again.status != "failed":
                low, candidate, found = other, again, answers
        if candidate.status == "failed":
            candidate = self._explained(low, candidate, limit_s)
        self.lowered.append(low)
        self.candidates.append(candidate)
        if found is not None:
            self.answers[candidate.id] = found

    def _can_be_rewritten(self, low: LoweringResult) -> bool:
        """Whether an artefact that failed was made the plain way, of a graph that can be written otherwise."""
        from ..frontend.rewrites import applying

        program = self.program(low.wanted.recipe)
        if low.artifact is None or isinstance(program, TorchportError) or targets.get(low.wanted.target).needs(PLAIN):
            return False
        return any(applying(program.graphs[name]) and not graph.rewrites for name, graph in low.artifact.graphs.items())

    def _explained(self, low: LoweringResult, candidate: Candidate, limit_s: float) -> Candidate:
        """A failed row whose reason names the operator and the user's line, where they can be told."""
        program = self.program(low.wanted.recipe)
        if low.wanted.recipe.name != PLAIN or isinstance(program, TorchportError):
            return candidate
        said = candidate.reason or ""
        stage = candidate.parity.stage if candidate.parity else None
        told = stage or next((name for name in program.graphs if f"graph '{name}'" in said), None)
        graph = program.graphs.get(told or "") or program.graphs[program.weighted[0]]
        self.tell(STAGE, f"{low.wanted.id}: looking for the operator that it fails on")
        target, log = targets.get(low.wanted.target), self.lowering.log
        try:
            most = min(limit_s, 2 * PATIENCE_S)
            found = isolate.call(culprit, target, graph, said, log=log, limit_s=most, what=low.wanted.id)
        except TorchportError:
            return candidate
        return candidate if found is None else msgspec.structs.replace(candidate, reason=f"{said} (operator: {found})")


def _not_tried(row: LoweringJob, why: str) -> Candidate:
    chain = row.recipe
    return Candidate(
        id=row.id,
        target=row.target,
        recipe=chain.name,
        precision=chain.precision,
        status="absent",
        reason=f"not tried: {why}",
    )
