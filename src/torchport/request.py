"""What a deploy or an export is asked for: the command line, `torchport.toml` and the Python API all fill one Request."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .budget import default, parse
from .compress import recipes
from .errors import BadInput, UsageError
from .targets import targets as known
from .targets.base import PROFILES
from .types import Budget

if TYPE_CHECKING:
    import torch

KEEP = ("front", "chosen", "all")


@dataclass(frozen=True)
class Request:
    """Everything a deploy is asked for; the command line and `torchport.toml` fill the same fields.

    Attributes:
        source: `module:name`, `file.py:Name`, a file, a folder, or an eager module.
        weights, arguments: for the factory named by `source`.
        data: the user's items; `inputs` are `--input` texts for when there are none.
        settings: task facts given by the user.
        targets, recipes: names, or None for every one that works here.
        budget: what must hold, as text; the default budget when empty.
        profile: where it will run: a name of `targets.base.PROFILES`, or `any`.
        keep: `front`, `chosen` or `all` variants; golden: how many golden items, or a folder with them.
        limit_s: wall-clock limit of one export, and of one verification, in seconds.
        log: file for the noise of converters and runtimes; a temporary one when None.
    """

    source: str | torch.nn.Module
    output: Path
    task: str = "tensor"
    weights: Path | None = None
    arguments: Mapping[str, str] = field(default_factory=dict)
    data: Path | None = None
    inputs: Sequence[str] = ()
    settings: Mapping[str, Any] = field(default_factory=dict)
    targets: Sequence[str] | None = None
    recipes: Sequence[str] | None = None
    budget: str = ""
    profile: str = "python"
    keep: str = "front"
    golden: int | Path = 4
    limit_s: float = 900.0
    log: Path | None = None

    @property
    def limits(self) -> Budget:
        """The budget, read."""
        return parse(self.budget) if self.budget else default()

    def __post_init__(self) -> None:
        _ = self.limits  # an unreadable budget is refused before any work
        if self.profile not in (*PROFILES, "any"):
            raise UsageError(f"there is no profile '{self.profile}'", f"--for takes {', '.join(PROFILES)} or any")
        if self.keep not in KEEP:
            raise UsageError(f"--keep {self.keep} is unknown", f"it takes {', '.join(KEEP)}")
        for flag, registry, names in (("--targets", known, self.targets), ("--recipes", recipes, self.recipes)):
            if names is not None and not names:
                raise UsageError(f"{flag} names nothing", f"it takes names separated by commas, or auto; known: {', '.join(registry.names())}")
            for name in sorted(set(names or ()) - set(registry.names())):
                raise UsageError(f"there is no {registry.kind[:-1]} '{name}'", f"known: {', '.join(registry.names())}")
        if isinstance(self.golden, Path) and not self.golden.exists():
            raise BadInput(f"--golden {self.golden}: neither a number nor a folder that exists", "write --golden 4, --golden none, or name a folder of inputs")
        if not self.limit_s > 0:
            raise UsageError(f"--limit {self.limit_s:g}: not a time", "give seconds, as in --limit 600")
