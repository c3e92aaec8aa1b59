"""Which of a file's tensors are a model's: found under any prefix, whatever wrapped the model while it was trained
(build half).
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeVar

from ..errors import BadInput
from .checkpoint import Checkpoint, clean

if TYPE_CHECKING:
    import torch

T = TypeVar("T")

WRAPPERS = frozenset(
    ("_orig_mod", "_fsdp_wrapped_module", "_checkpoint_wrapped_module", "_forward_module", "_ddp_module")
)
"""What torch.compile, FSDP, activation checkpointing and Fabric put between the names of modules."""

LEVELS = (WRAPPERS | {"module", "_module"}, WRAPPERS, frozenset[str]())
"""What is passed over in names; data-parallel wrappers say `module`, which a model may say as well, and Opacus
`_module`.
"""

AVERAGED = frozenset(("ema", "swa", "averaged", "average", "avg", "polyak"))
"""What training loops call averaged weights."""

NORMS = ((r"original0", "_g"), (r"original1", "_v"), (r"original", "_orig"), (r"\d+\._u", "_u"), (r"\d+\._v", "_v"))
"""A parametrised weight's tensors, and what the older hook-based weight_norm and spectral_norm call the same ones."""

COUNTER = "num_batches_tracked"
"""BatchNorm's count of training steps, which no prediction reads."""

SHOWN = 6
"""How many names of a kind a message shows."""

MOST_PLACES = 64
"""Places of a file that are looked at closely: those with the most of the model's names."""


@dataclass(frozen=True)
class Match:
    """A place of a file: the tensors under one prefix, and the names that the model has for them.

    Attributes:
        prefix: the path that they share in the file, without wrappers' names.
        keys: the model's name -> path in the file.
        missing: names of the model that are not there, but for those that need not be.
        misshaped: names of the model that are there in another shape.
    """

    prefix: str
    keys: dict[str, str]
    missing: tuple[str, ...] = ()
    misshaped: tuple[str, ...] = ()

    @property
    def whole(self) -> bool:
        """Whether every tensor of the model is there, in its shape."""
        return bool(self.keys) and not self.missing and not self.misshaped


class Places:
    """Where in a file a model's tensors may be.

    Args:
        own: the model's state dict.
        checkpoint: what the file holds.
        paths: the tensors of the file that may be taken.

    Attributes:
        matches: the places, the likeliest first.
    """

    def __init__(self, own: Mapping[str, torch.Tensor], checkpoint: Checkpoint, paths: Sequence[str]) -> None:
        self._own, self._checkpoint, self._paths = own, checkpoint, paths
        self._level, self._mine, self._theirs = _spelled(list(own), paths)
        found: dict[str, dict[str, str]] = {}
        for name, path in self._theirs.items():
            for prefix, rest in _splits(name):
                if rest in self._mine:
                    found.setdefault(prefix, {})[self._mine[rest]] = path
        likeliest = sorted(found, key=lambda prefix: -len(found[prefix]))[:MOST_PLACES]
        matches = [self._match(prefix, found[prefix]) for prefix in likeliest]
        matches.sort(
            key=lambda one: (not one.whole, len(one.misshaped) - len(one.keys), one.prefix.count("."), one.prefix)
        )
        self.matches = [*matches, *(Match(prefix, {}, tuple(own)) for prefix in self._natural() if prefix not in found)]

    def rest(self, match: Match) -> dict[str, str]:
        """Tensors in the same place that the model has no name for: name without the prefix -> path in the file."""
        taken, start = set(match.keys.values()), f"{match.prefix}." if match.prefix else ""
        holders, stood = {self._checkpoint.holders[path] for path in taken}, self.stood(match)
        begins = (
            ".".join(filter(None, (stood.get("entry"), stood.get("prefix"))))
            if stood.get("prefix", "").endswith(".")
            else ""
        )
        inside = (
            (name[len(start) :], path)
            for name, path in self._theirs.items()
            if path not in taken and name.startswith(start) and path.startswith(begins)
        )
        return {name: path for name, path in inside if not holders or self._checkpoint.holders[path] in holders}

    def stood(self, match: Match) -> dict[str, str]:
        """Where a place is, for people: `entry`, the dict of the file, and `prefix`, what stood before the model's
        names in it; each where there is one.

        Where wrappers stood in the middle of names, `prefix` lists them without dots.
        """
        holders = dict.fromkeys(self._checkpoint.holders[path] for path in match.keys.values())
        entry = next(iter(holders), "") if len(holders) == 1 else ""
        inside = [
            (spell(name, frozenset()), spell(path[len(entry) :].lstrip("."), frozenset()))
            for name, path in match.keys.items()
        ]
        prefixes = {path.removesuffix(name) if path.endswith(name) else None for name, path in inside}
        prefix = prefixes.pop() if len(prefixes) == 1 else None
        if prefix is None:
            prefix = ", ".join(sorted({part for _, path in inside for part in path.split(".")} & LEVELS[0]))
        return {key: value for key, value in (("entry", entry), ("prefix", prefix)) if value}

    def beside(self, match: Match) -> list[str]:
        """Paths of tensors in the same dict of the file, outside the prefix: those of a loss, of a second network."""
        taken = {*match.keys.values(), *self.rest(match).values()}
        holders = {self._checkpoint.holders[path] for path in taken}
        return [
            path
            for path in self._checkpoint.tensors
            if path not in taken and self._checkpoint.holders[path] in holders and not path.endswith("n_averaged")
        ]

    def rivals(self, best: Match) -> list[Match]:
        """Other places with as much of the model, and other values."""
        alike = [
            one
            for one in self.matches
            if one is not best and one.keys and one.whole == best.whole and one.keys.keys() >= best.keys.keys()
        ]
        return [one for one in alike if self._differ(one, best)]

    def averaged(self, match: Match) -> bool:
        """Whether a place holds averages over the training (EMA, SWA), as its name says, or the counter beside it."""
        return bool(_words(match.prefix) & AVERAGED) or any(bool(count.any()) for count in self._counts(match))

    def unstarted(self, match: Match) -> bool:
        """Whether a place is for averages and has averaged nothing yet: it holds what the model began with."""
        counts = self._counts(match)
        return bool(counts) and not any(bool(count.any()) for count in counts)

    def _counts(self, match: Match) -> list[torch.Tensor]:
        """The counters of AveragedModel beside a place."""
        holders = {self._checkpoint.holders[path] for path in match.keys.values()}
        counts = [
            self._checkpoint.tensors.get(f"{holder}.n_averaged" if holder else "n_averaged") for holder in holders
        ]
        return [count for count in counts if count is not None]

    def metadata(self, match: Match) -> dict[str, Mapping[str, object]]:
        """The versions of a place's modules, by the path that the model has for them."""
        spelled = {spell(path, self._level): value for path, value in self._checkpoint.metadata.items()}
        own = {match.prefix: spelled.get(match.prefix, {})}
        return {
            path[len(match.prefix) :].lstrip("."): value
            for path, value in (own | _under(match.prefix, spelled)).items()
        }

    def extras(self, match: Match) -> dict[str, object]:
        """What modules keep beside tensors, by the model's name."""
        spelled = {spell(path, self._level): value for path, value in self._checkpoint.extras.items()}
        return {path[len(match.prefix) :].lstrip("."): value for path, value in _under(match.prefix, spelled).items()}

    def _differ(self, one: Match, other: Match) -> bool:
        import torch

        tensors = self._checkpoint.tensors
        return any(not torch.equal(tensors[one.keys[key]], tensors[path]) for key, path in other.keys.items())

    def _match(self, prefix: str, keys: dict[str, str]) -> Match:
        misshaped = tuple(
            name for name, path in keys.items() if self._checkpoint.tensors[path].shape != self._own[name].shape
        )
        return Match(prefix, keys, lacking(self._own, keys), misshaped)

    def _natural(self) -> list[str]:
        """Places whose names the model's own hooks may change: every dict with tensors, and what its names begin
        with.
        """
        places: dict[str, None] = {}
        for path in self._paths:
            holder = self._checkpoint.holders[path]
            places[spell(holder, self._level)] = None
            first = path[len(holder) :].lstrip(".").partition(".")[0]
            places[spell(f"{holder}.{first}" if holder else first, self._level)] = None
        return list(places)[:MOST_PLACES]


def narrowed(checkpoint: Checkpoint, entry: str) -> list[str]:
    """Paths of the tensors under an entry: a whole path, the end of one such as `generator`, or a word in it such as
    `ema`.

    Raises:
        BadInput: there is none, or several are meant; the message lists what there is.
    """
    parts = entry.split(".")
    prefixes = {prefix for path in checkpoint.tensors for prefix, _ in _splits(path) if prefix}
    for fits in (
        lambda name: name == entry,
        lambda name: name.split(".")[-len(parts) :] == parts,
        lambda name: entry.lower() in _words(name.rpartition(".")[2]),
    ):
        places = sorted(
            (name for name in prefixes if fits(name) or fits(spell(name, LEVELS[0]))),
            key=lambda name: (name.count("."), name),
        )
        places = [place for place in places if not any(place.startswith(f"{other}.") for other in places)]
        if len(places) == 1:
            return [path for path in checkpoint.tensors if path.startswith(f"{places[0]}.")]
        if places:
            raise BadInput(
                f"{checkpoint.file} has several entries '{clean(entry)}': {listed(places)}",
                f"give one of them whole, as in --weights '{checkpoint.file}#{clean(places[0])}'",
            )
    raise BadInput(f"{checkpoint.file} has no entry '{clean(entry)}'", f"it has {described(checkpoint)}")


def described(checkpoint: Checkpoint) -> str:
    """The entries of a file with the number of their tensors, in a line."""
    return listed(
        f"'{holder}' ({len(names)} tensors)" if holder else f"{len(names)} tensors at its top"
        for holder, names in checkpoint.entries().items()
    )


def listed(names: Iterable[str], most: int = SHOWN) -> str:
    """Names in a line, cut after `most`."""
    names = list(names)
    return ", ".join(clean(name) for name in names[:most]) + (", ..." if len(names) > most else "")


def tied(own: Mapping[str, torch.Tensor]) -> dict[str, tuple[str, ...]]:
    """Names of the model -> the other names of the same tensor."""
    groups: dict[object, list[str]] = {}
    for name, tensor in own.items():
        same: object = (
            id(tensor) if tensor.is_meta or not tensor.numel() else (tensor.data_ptr(), tensor.shape, tensor.stride())
        )
        groups.setdefault(same, []).append(name)
    return {name: tuple(other for other in group if other != name) for group in groups.values() for name in group}


def lacking(own: Mapping[str, torch.Tensor], have: Iterable[str]) -> tuple[str, ...]:
    """What the model lacks: neither there, nor tied to what is there, nor BatchNorm's counter of training steps, which
    no prediction reads.
    """
    have, same = set(have), tied(own)
    return tuple(
        name for name in own if name not in have and not have.intersection(same[name]) and not name.endswith(COUNTER)
    )


def spell(name: str, passed_over: frozenset[str]) -> str:
    """A tensor's name without wrappers, and with the older of the two names that a norm's tensors have."""
    if ".parametrizations." in f".{name}":
        for new, old in NORMS:
            name = re.sub(rf"(^|\.)parametrizations\.([^.]+)\.{new}$", rf"\1\2{old}", name)
    return ".".join(part for part in name.split(".") if part not in passed_over)


def _spelled(own: Sequence[str], paths: Sequence[str]) -> tuple[frozenset[str], dict[str, str], dict[str, str]]:
    """What is passed over, as much as leaves names unambiguous, and spelled name -> name for the model and for the
    file.
    """
    for level in LEVELS:
        mine, theirs = {spell(name, level): name for name in own}, {spell(path, level): path for path in paths}
        if len(mine) == len(own) and len(theirs) == len(paths):
            break
    return level, mine, theirs


def _splits(name: str) -> Iterator[tuple[str, str]]:
    """A path as prefix and rest, at every dot; the empty prefix first."""
    yield "", name
    for at, letter in enumerate(name):
        if letter == ".":
            yield name[:at], name[at + 1 :]


def _under(prefix: str, found: Mapping[str, T]) -> dict[str, T]:
    return {path: value for path, value in found.items() if not prefix or path.startswith(f"{prefix}.")}


def _words(name: str) -> set[str]:
    """The words of a name: `netG.params_ema` and `modelEMA` both have an `ema`."""
    return {word.lower() for word in re.findall(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+", name)}
