"""One sorted table of strings per kind of plug-in (targets, recipes, tasks); a class is imported when first asked for.

Outsiders add theirs by an entry point in the group `torchport.<kind>`, for instance

    [project.entry-points."torchport.targets"]
    mytarget = "my_package.mytarget:MyTarget"
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import cache
from importlib import import_module
from typing import Any, Generic, NamedTuple, TypeVar

from .errors import MissingDependency, UsageError, did_you_mean

T = TypeVar("T")


class Entry(NamedTuple):
    """One row: where the class is, the extra that installs what it needs, and what it is for."""

    path: str
    extra: str | None
    about: str


class Registry(Generic[T]):
    """A read-only, lazily imported table of named singletons."""

    def __init__(self, kind: str, table: Mapping[str, Entry]) -> None:
        assert list(table) == sorted(table), f"keep the table of {kind} sorted"
        self.kind = kind
        self._table = dict(table)
        self._made: dict[str, T] = {}

    def entries(self) -> dict[str, Entry]:
        """Every row, ours and the entry points', by name."""
        return {**_entry_points(f"torchport.{self.kind}"), **self._table}

    def names(self) -> list[str]:
        """Sorted names of every row."""
        return sorted(self.entries())

    def install_hint(self, name: str) -> str:
        """The command that installs what the row needs."""
        entry = self.entries().get(name)
        if entry is None or entry.extra is None:
            return f"pip install torchport-{name}"
        return f"pip install 'torchport[{entry.extra}]'"

    def get(self, name: str) -> T:
        """The one instance of the named class.

        Raises:
            UsageError: no such row.
            MissingDependency: its module needs a package that is not installed.
        """
        if name not in self._made:
            # The entry points are read only for a stranger's name: reading them takes longer than opening a small
            # model.
            entry = self._table.get(name) or self.entries().get(name)
            if entry is None:
                raise UsageError(f"there is no {self.kind[:-1]} '{name}'", did_you_mean(name, self.names()))
            module, _, attribute = entry.path.partition(":")
            try:
                made: Any = getattr(import_module(module), attribute)()
            except ImportError as exc:
                raise MissingDependency(f"{name}: {exc}", self.install_hint(name)) from exc
            self._made[name] = made
        return self._made[name]

    def need(self, name: str) -> T:
        """As `get`, for a name that stands in a Bundle: a stranger's is a package to install, not wrong usage.

        Raises:
            MissingDependency: no such row, or its module needs a package that is not installed.
        """
        try:
            return self.get(name)
        except UsageError as exc:
            raise MissingDependency(
                f"the {self.kind[:-1]} '{name}' is not known here", self.install_hint(name)
            ) from exc

    def register(self, name: str, thing: T) -> None:
        """Add an instance for this process only: for tests and for interactive use."""
        self._table[name] = Entry(
            f"{type(thing).__module__}:{type(thing).__qualname__}", None, (type(thing).__doc__ or "").split("\n")[0]
        )
        self._made[name] = thing

    @contextmanager
    def using(self, name: str, thing: T) -> Iterator[T]:
        """Within the block, that name stands for this instance; afterwards for what it stood for before."""
        before, made = self._table.get(name), self._made.get(name)
        self.register(name, thing)
        try:
            yield thing
        finally:
            del self._table[name], self._made[name]
            if before is not None:
                self._table[name] = before
            if made is not None:
                self._made[name] = made


@cache
def _entry_points(group: str) -> dict[str, Entry]:
    from importlib.metadata import entry_points

    return {
        point.name: Entry(point.value, None, f"from {point.dist.name if point.dist else 'elsewhere'}")
        for point in entry_points(group=group)
    }
