"""The verbs as Python functions: the same names and meanings as on the command line.

What belongs to the caller (PyTorch's settings, random states, the module's modes) comes back after every call, see
`torch_settings`.
"""

from __future__ import annotations

import functools
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, ParamSpec, TypeVar

from .system import torch_settings

if TYPE_CHECKING:
    import torch

    from .deployment.assemble import Assembled
    from .deployment.deploy import Outcome
    from .deployment.export import Exported
    from .deployment.request import Request
    from .documents import DiffDocument
    from .predict import Predictor
    from .types import Choice, Reference
    from .verification import Verdict

P = ParamSpec("P")
R = TypeVar("R")

ProgressCallback = Callable[[str, str], None]
Progress = bool | ProgressCallback | None
"""True prints a line a stage and row on standard error, False nothing; None is True in a notebook; a function is called
with stage and row.
"""

Data = Any
"""A path; an array or tensor whose first axis counts the items, or a dict of them by input name; a list of items; a
DataLoader; see `tasks.in_memory.written`.
"""


@contextmanager
def _asked(source: str | torch.nn.Module, output: str | Path, **fields: Any) -> Iterator[Request]:
    """A Request for the time of one call; text is read as on the command line, and data may be in memory."""
    from .deployment.options import OPTIONS
    from .deployment.request import Request

    given: dict[str, Any] = {"log": Path(fields["log"])} if fields.get("log") is not None else {}
    for option in OPTIONS:
        if isinstance(value := fields.get(option.field), str):
            given[option.field] = option.read((value,) if option.repeated else value)
    with ExitStack() as stack:
        stack.enter_context(torch_settings.kept(source))
        for name in ("data", "calibration", "test"):
            if fields.get(name) is not None:
                given[name] = _on_disk(fields[name], fields.get("task"), source, stack)
        known = {name: value for name, value in {**fields, **given}.items() if value is not None}
        yield Request(source=source, output=Path(output), **known)


def _on_disk(data: Data, task: str | None, source: str | torch.nn.Module, stack: ExitStack) -> Path:
    if isinstance(data, str | Path):
        return Path(data)
    from .system.disk import temporary
    from .tasks.in_memory import written

    folder = stack.enter_context(temporary())
    names = None
    if not isinstance(source, str):
        from .frontend.binding import argument_names

        names = argument_names(source)
    return written(data, folder, task=task, inputs=names)


def _teller(progress: Progress) -> ProgressCallback:
    if callable(progress):
        return progress
    return _lines() if progress or (progress is None and _in_notebook()) else lambda stage, row: None


def _in_notebook() -> bool:
    """Whether this process answers a notebook."""
    return "ipykernel" in sys.modules


def _lines() -> Callable[[str, str], None]:
    """A progress callback that prints one line a stage and row on standard error: a notebook shows them as they
    come.
    """
    start, last = time.monotonic(), list[str]()

    def tell(stage: str, row: str) -> None:
        words = f"{stage}: {row}"
        if words not in last[-1:]:
            last[:] = [words]
            print(f"{time.monotonic() - start:8.1f} s  {words}", file=sys.stderr, flush=True)

    return tell


def load(
    bundle: str | Path,
    *,
    variant: str | None = None,
    profile: str = "python",
    threads: int | None = None,
    device: str = "cpu",
    in_graph: bool = False,
    trust: bool = False,
    overrides: Mapping[str, Any] | None = None,
) -> Predictor:
    """Open a Bundle for prediction; see `Predictor`."""
    from .predict import Predictor

    with torch_settings.kept():
        return Predictor(
            bundle,
            variant=variant,
            profile=profile,
            threads=threads,
            device=device,
            in_graph=in_graph,
            trust=trust,
            overrides=overrides,
        )


def capture(
    source: str | torch.nn.Module,
    *,
    task: str | None = None,
    weights: str | Path | None = None,
    drop: Sequence[str] | None = None,
    arguments: Mapping[str, str] | None = None,
    data: Data = None,
    inputs: Sequence[str] | None = None,
    settings: Mapping[str, Any] | None = None,
) -> Assembled:
    """Capture a model with its task."""
    from .deployment.explore import capture as do

    with _asked(
        source,
        "capture",
        task=task,
        weights=weights,
        drop=drop,
        arguments=arguments,
        data=data,
        inputs=inputs,
        settings=settings,
    ) as request:
        return do(request, lambda stage, row: None)


def export(
    source: str | torch.nn.Module,
    output: str | Path,
    *,
    task: str | None = None,
    weights: str | Path | None = None,
    drop: Sequence[str] | None = None,
    arguments: Mapping[str, str] | None = None,
    data: Data = None,
    inputs: Sequence[str] | None = None,
    settings: Mapping[str, Any] | None = None,
    targets: Sequence[str] | None = None,
    recipes: Sequence[str] | None = None,
    calibration: Data = None,
    seed: int | None = None,
    limit_s: float | None = None,
    log: str | Path | None = None,
    progress: Progress = None,
) -> list[Exported]:
    """Convert a model, check every artefact, and write them to a folder."""
    from .deployment.export import export as do

    fields: dict[str, Any] = {"task": task, "weights": weights, "drop": drop, "arguments": arguments}
    fields |= {"settings": settings}
    fields |= {"data": data, "inputs": inputs, "calibration": calibration}
    fields |= {"targets": targets, "recipes": recipes or ["fp32"], "seed": seed, "limit_s": limit_s, "log": log}
    with _asked(source, output, **fields) as request:
        return do(request, _teller(progress))


def deploy(
    source: str | torch.nn.Module,
    output: str | Path,
    *,
    task: str | None = None,
    weights: str | Path | None = None,
    drop: Sequence[str] | None = None,
    arguments: Mapping[str, str] | None = None,
    data: Data = None,
    inputs: Sequence[str] | None = None,
    settings: Mapping[str, Any] | None = None,
    targets: Sequence[str] | None = None,
    recipes: Sequence[str] | None = None,
    budget: str | None = None,
    require_shown: bool = False,
    prefer: Literal["latency", "size", "memory"] | None = None,
    profile: str | None = None,
    calibration: Data = None,
    test: Data = None,
    seed: int | None = None,
    time_s: float | None = None,
    keep: Literal["front", "chosen", "all"] | None = None,
    golden: int | str | Path | None = None,
    limit_s: float | None = None,
    quick: bool | None = None,
    log: str | Path | None = None,
    progress: Progress = None,
) -> Outcome:
    """The whole job. What is None is as on the command line; see `deployment.request.Request`.

    Args:
        source: `module:name`, `file.py:Name`, a file, a folder, or a module of PyTorch, which is left as it was.
        data, calibration, test: a path; an array or tensor whose first axis counts the items, or a dict of them by
        input name; a list of
            items, each perhaps with its label; or a DataLoader.
        time_s: bounds the whole call, in seconds.

    Returns:
        The Outcome; after an interrupt the one of what was proven by then.

    Raises:
        BudgetNotMet: nothing met the budget; no Bundle was written, the report names the nearest misses.
    """
    from .deployment.deploy import deploy as do

    fields: dict[str, Any] = {"task": task, "weights": weights, "drop": drop, "arguments": arguments}
    fields |= {"settings": settings}
    fields |= {"data": data, "inputs": inputs, "calibration": calibration, "test": test, "golden": golden}
    fields |= {"targets": targets, "recipes": recipes, "budget": budget, "require_shown": require_shown}
    fields |= {"prefer": prefer, "profile": profile, "seed": seed, "time_s": time_s, "keep": keep}
    fields |= {"limit_s": limit_s, "quick": quick, "log": log}
    with _asked(source, output, **fields) as request:
        outcome = do(request, _teller(progress))
    if outcome.bundle is None:
        raise outcome.not_met()
    return outcome


def _searching(function: Callable[P, R]) -> Callable[P, R]:
    @functools.wraps(function)
    def searched(*args: P.args, **options: P.kwargs) -> R:
        from .deployment.options import SEARCH

        options["recipes"] = options.get("recipes") or [SEARCH]
        return function(*args, **options)

    return searched


optimize = _searching(deploy)
"""As `deploy`, with the recipes searched for; `recipes` limits the search to what it names."""
optimize.__name__ = optimize.__qualname__ = "optimize"


def verify(bundle: str | Path, *, trust: bool = False) -> Verdict:
    """Hash every file of a Bundle and hold every variant against its golden vectors."""
    from .bundle import Bundle
    from .verification import verify as do

    with torch_settings.kept(), Bundle(bundle) as opened:
        return do(opened, trusted=trust)


def bench(bundle: str | Path, *, trust: bool = False, quick: bool | None = None) -> tuple[Choice, Reference]:
    """Time every variant of a Bundle here, beside the eager model; `quick` for a moment only."""
    from .bundle import Bundle
    from .jobs.bench import bench as do

    with torch_settings.kept(), Bundle(bundle) as opened:
        return do(opened, trusted=trust, quick=quick)


def diff(
    old: str | Path,
    new: str | Path,
    *,
    data: str | Path | None = None,
    budget: str = "",
    variant: str = "",
    trust: bool = False,
    progress: Progress = None,
) -> DiffDocument:
    """Compare an old Bundle with a new one; see `jobs.diff`."""
    from .jobs.diff import diff as do

    tell = _teller(progress)
    path = None if data is None else Path(data)
    with torch_settings.kept():
        return do(
            Path(old),
            Path(new),
            data=path,
            budget=budget,
            variant=variant,
            trusted=trust,
            tell=lambda text: tell("compare", text),
        )
