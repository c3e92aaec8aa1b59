"""What a user sets is used or refused: at deploy, and when a Bundle is opened."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from ..errors import UsageError

if TYPE_CHECKING:
    from .base import Task


def need_used(task: Task, settings: Mapping[str, Any], facts: dict[str, Any]) -> None:
    """See that every setting has an effect on this model; raises UsageError naming the first that has none."""
    for name, why in task.ignored(facts).items():
        if name in settings and (facts[name] != task.defaults[name] or str(settings[name]) != str(facts[name])):
            raise UsageError(f"{name} has no effect: {why}", f"leave {name} out")


def override(
    task: Task, facts: dict[str, Any], changes: Mapping[str, Any], *, in_graph: bool = False
) -> dict[str, Any]:
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
    checked = task.check({**facts, **changes})
    for name in changes:
        if name in task.from_model and checked[name] == task.defaults[name]:
            raise UsageError(
                f"{name} is {checked[name]}", "what the model states was read at deploy: leave it out, or give a value"
            )
        if name in task.lowered_at_predict and checked[name] > facts[name]:
            raise UsageError(
                f"{name}={checked[name]} is more than the graphs were made for ({facts[name]})",
                f"give at most {facts[name]}, or deploy again",
            )
    made = {**facts, **{name: checked[name] for name in changes}}
    task.need_used(changes, made)
    return made
