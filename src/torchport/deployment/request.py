"""What a deploy or an export is asked for: the command line, `torchport.toml` and the Python API all fill one
Request.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..choice.budget import default, parse
from ..compress import parse as chain
from ..compress import recipes
from ..errors import BadInput, UsageError, did_you_mean
from ..targets import targets as known
from ..targets.base import PROFILES
from ..tasks import tasks
from ..timing.candidates import quick_by_default
from ..types import Budget
from .options import ALL, KEEP, PREFER, SEARCH

if TYPE_CHECKING:
    import torch


@dataclass(frozen=True)
class Request:
    """Everything a deploy is asked for; the command line and `torchport.toml` fill the same fields.

    Attributes:
        source: `module:name`, `file.py:Name`, a file, a folder, `hf:FOLDER`, or an eager module.
        task: its name; None takes the one that a Hugging Face folder's architecture is for, else the one for any
        module. weights, arguments: for the factory named by `source`; `best.pth#ema` is one set of the weights in a
        file. drop: names of weights to leave out, by their beginnings, or by patterns with `*`.
        data: the user's items; `inputs` are `--input` texts for when there are none.
        settings: task facts given by the user.
        targets, recipes: names, or None for every one that works here; recipes are plain ones then. `["all"]` is every
        target, also those that None leaves out.
        calibration, test: items that recipes learn from, and items that are answered once by what was chosen; None
        takes
            them from `data`, where it is large enough.
        recipes may be `("auto",)`: they are searched for.
        prefer: what decides between candidates that keep the budget: `latency`, `size` or `memory`.
        seed: of every random choice.
        time_s: seconds that the whole deploy may take; what is verified by then is measured and kept.
        budget: what must hold, as text; the default budget when empty.
        profile: where it will run: a name of `targets.base.PROFILES`, or `any`.
        keep: `front`, `chosen` or `all` variants; golden: how many golden items, or a folder with them.
        limit_s: wall-clock limit of one export, and of one verification, in seconds.
        quick: time every candidate for a moment only; the choice is less sure. The environment's `TORCHPORT_QUICK=1`
        where nobody says. require_shown: write a Bundle only where its winner is shown to keep the budget, not where it
        is merely not refuted. log: file for the noise of converters and runtimes; a temporary one when None.
    """

    source: str | torch.nn.Module
    output: Path
    task: str | None = None
    weights: Path | None = None
    drop: Sequence[str] = ()
    arguments: Mapping[str, str] = field(default_factory=dict)
    data: Path | None = None
    inputs: Sequence[str] = ()
    settings: Mapping[str, Any] = field(default_factory=dict)
    targets: Sequence[str] | None = None
    recipes: Sequence[str] | None = None
    budget: str = ""
    calibration: Path | None = None
    test: Path | None = None
    seed: int = 0
    time_s: float | None = None
    prefer: str = "latency"
    profile: str = "python"
    keep: str = "front"
    golden: int | Path = 4
    limit_s: float = 900.0
    quick: bool = field(default_factory=quick_by_default)
    require_shown: bool = False
    log: Path | None = None

    @property
    def searching(self) -> bool:
        """Whether recipes are searched for."""
        return self.recipes is not None and list(self.recipes) == [SEARCH]

    @property
    def limits(self) -> Budget:
        """The budget, read."""
        return parse(self.budget) if self.budget else default()

    def __post_init__(self) -> None:
        _ = self.limits  # an unreadable budget is refused before any work
        if self.profile not in (*PROFILES, "any"):
            raise UsageError(
                f"there is no profile '{self.profile}' for --for", did_you_mean(self.profile, (*PROFILES, "any"))
            )
        if self.keep not in KEEP:
            raise UsageError(f"--keep {self.keep} is unknown", did_you_mean(self.keep, KEEP))
        for flag, registry, names in (
            ("--targets", known, None if self.targets is not None and [*self.targets] == [ALL] else self.targets),
            ("--recipes", recipes, None if self.searching else self.recipes),
        ):
            if names is not None and not names:
                raise UsageError(
                    f"{flag} names nothing",
                    f"it takes names separated by commas, or auto; known: {', '.join(registry.names())}",
                )
            unknown = {part.partition("@")[0] for name in names or () for part in name.split("+")} - set(
                registry.names()
            )
            if unknown:
                raise UsageError(
                    f"there is no {registry.kind[:-1]} '{min(unknown)}'", did_you_mean(min(unknown), registry.names())
                )
        for name in () if self.searching else self.recipes or ():
            chain(name)
        if self.prefer not in PREFER:
            raise UsageError(f"--prefer {self.prefer} is unknown", did_you_mean(self.prefer, PREFER))
        for flag, path in (("--calibration", self.calibration), ("--test", self.test)):
            if path is not None and not path.exists():
                raise BadInput(
                    f"{flag} {path} does not exist",
                    "give a folder or a file; `torchport tasks NAME` says what a task takes",
                )
        self._check_task()
        if isinstance(self.golden, Path) and not self.golden.exists():
            raise BadInput(
                f"--golden {self.golden}: neither a number nor a folder that exists",
                "write --golden 4, --golden none, or name a folder of inputs",
            )
        if not self.limit_s > 0:
            raise UsageError(f"--limit {self.limit_s:g}: not a time", "give seconds, as in --limit 600")

    def _check_task(self) -> None:
        """A misspelt task or setting is refused before the model is opened, which takes seconds."""
        if self.task is not None:
            tasks.get(self.task).check_names(self.settings)
            return
        every = [tasks.get(name) for name in tasks.names()] if self.settings else []
        unknown = sorted(set(self.settings) - {fact for task in every for fact in task.defaults})
        if unknown:
            raise UsageError(
                f"no task has a setting '{unknown[0]}'",
                did_you_mean(unknown[0], sorted({fact for task in every for fact in task.defaults})),
            )
