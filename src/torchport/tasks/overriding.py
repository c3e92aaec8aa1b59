"""What a user sets is used or refused: at deploy, and when a Bundle is opened."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from msgspec.structs import replace

from ..errors import UsageError
from .facts import F, Facts, changed

if TYPE_CHECKING:
    from .base import Task


def need_used(task: Task, settings: Mapping[str, Any], facts: Facts) -> None:
    """See that every setting has an effect on this model; raises UsageError naming the first that has none."""
    for name, why in task.ignored(facts).items():
        if name in settings and _says(task, name, settings[name], facts):
            raise UsageError(f"{name} has no effect: {why}", f"leave {name} out")


def _says(task: Task, name: str, given: Any, facts: Facts) -> bool:
    """Whether a setting is another than the default, or became another."""
    values = (getattr(facts, name), getattr(changed(facts, {name: given}), name))
    return any(value != task.defaults[name] for value in values)


def override(task: Task[F], facts: F, changes: Mapping[str, Any], *, in_graph: bool = False) -> F:
    """A Bundle's facts with some of them changed when it is opened.

    Raises:
        UsageError: a fact that there is not, that is part of the graphs, or that has no effect; or an impossible value.
    """
    fixed = task.in_graphs if in_graph else frozenset()
    free = sorted((task.at_predict | task.lowered_at_predict) - fixed)
    for name in changes:
        if name not in task.defaults:
            raise UsageError(
                f"{task.name} has no setting '{name}'", f"it has {', '.join(free) or 'none'} that can be changed here"
            )
        if name not in free:
            raise UsageError(
                f"{name} is part of the Bundle's graphs",
                f"deploy again with --set {name}=...; here {', '.join(free) or 'nothing'} can be changed",
            )
    checked = task.check(changed(facts, changes))
    for name in changes:
        value, before = getattr(checked, name), getattr(facts, name)
        if name in task.from_model and value == task.defaults[name]:
            raise UsageError(
                f"{name} is {value}", "what the model states was read at deploy: leave it out, or give a value"
            )
        if name in task.lowered_at_predict and value > before:
            raise UsageError(
                f"{name}={value} is more than the graphs were made for ({before})",
                f"give at most {before}, or deploy again",
            )
    made: F = replace(facts, **{name: getattr(checked, name) for name in changes})
    task.need_used(changes, made)
    return made
