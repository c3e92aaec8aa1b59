"""Weights into a model: what must fit, what is said of how it was made to fit, and a hash that only the numbers
decide.
"""

from __future__ import annotations

import fnmatch
import inspect
import re
from collections import OrderedDict
from collections.abc import Iterable, Mapping, Sequence, Sized
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ..errors import UnsafeFile, UsageError, WeightsError, first_line
from ..system.noise import quiet
from .blame import place_of
from .matching import COUNTER, Match, Places, described, lacking, listed, narrowed, tied

if TYPE_CHECKING:
    import torch

    from .checkpoint import Checkpoint

SHOWN = 3
"""How many keys of each kind an error names."""

TRIES = 8
"""Places of a file that are tried where none fits by its names alone."""


@dataclass(frozen=True)
class Taken:
    """What of a file went into a model.

    Attributes:
        notes: what a user should know of it, a line each; none where a plain state dict fits as it is.
        provenance: JSON-able: the entry and the prefix, where there are any.
    """

    notes: tuple[str, ...]
    provenance: dict[str, str]


def fit(
    module: torch.nn.Module, checkpoint: Checkpoint, *, entry: str | None = None, drop: Sequence[str] = ()
) -> Taken:
    """Load the model's weights out of a file, every tensor in its place.

    The place is found by the model's own names; what a module's load hooks rename counts as loaded. Averaged weights
    are preferred where the file has others as well. Tied tensors need to be there once, BatchNorm's counter of steps
    not at all.

    Args:
        entry: where in the file to look only; see `matching.narrowed`.
        drop: names to leave out, as they stand in the file or in the model: by their beginnings, or by patterns with
        `*`.

    Raises:
        WeightsError: counts the missing, unexpected and mis-shaped keys of the likeliest place, and names the first of
        each. BadInput: there is no such entry. UnsafeFile: only a pickled model would have them.
        UsageError: `drop` names nothing that is there.
    """
    own = {key: value for key, value in module.state_dict(keep_vars=True).items() if _is_tensor(value)}
    paths = list(checkpoint.tensors) if entry is None else narrowed(checkpoint, entry)
    places = Places(own, checkpoint, [path for path in paths if not _dropped(path, drop)])
    chosen = _Chosen.of(places, checkpoint)
    loader = _Loader(module, own, checkpoint, places, tuple(drop))
    errors: list[WeightsError] = []
    for match in chosen.tries[:TRIES]:
        try:
            loader.load(match)
        except WeightsError as exc:
            errors.append(exc)
            continue
        if chosen.unclear:
            raise chosen.unclear
        loader.check_dropped(match, paths)
        return Taken(tuple(loader.notes(match, chosen.rivals)), places.stood(match))
    if checkpoint.modules and not any(2 * len(match.keys) > len(own) for match in chosen.tries):
        raise pickled_model(checkpoint)
    raise (
        errors[0]
        if errors
        else WeightsError(
            f"{checkpoint.file} holds nothing of {type(module).__name__}", f"it has {described(checkpoint)}"
        )
    )


@dataclass(frozen=True)
class _Chosen:
    """The places of a file to try in turn, others with as much of the model as the first, and the error where nothing
    says which of them is meant.
    """

    tries: list[Match]
    rivals: list[Match]
    unclear: WeightsError | None = None

    @classmethod
    def of(cls, places: Places, checkpoint: Checkpoint) -> _Chosen:
        """One place where its names say that it fits, else the likeliest ones; averaged weights before others."""
        if not places.matches:
            return cls([], [])
        best, *others = places.matches
        sets = [best, *places.rivals(best)]
        sets = [one for one in sets if not places.unstarted(one)] or sets
        best, averages, unclear = sets[0], [one for one in sets if places.averaged(one)], None
        if len(sets) > 1 and len(averages) != 1:
            names = " or ".join(f"--weights '{checkpoint.file}#{one.prefix}'" for one in sets[:SHOWN] if one.prefix)
            unclear = WeightsError(
                f"{checkpoint.file} holds {len(sets)} sets of weights that fit: "
                f"{listed((one.prefix or 'its outermost dict' for one in sets), SHOWN)}",
                f"say which: {names}",
            )
        elif averages:
            best = averages[0]
        rivals = [one for one in sets if one is not best]
        return cls([best] if best.whole else [best, *(one for one in others if one not in sets)], rivals, unclear)


@dataclass
class _Loader:
    """Loads one place after another into a model, until one fits."""

    module: torch.nn.Module
    own: Mapping[str, torch.Tensor]
    checkpoint: Checkpoint
    places: Places
    drop: tuple[str, ...]

    def load(self, match: Match) -> None:
        """Load a place.

        Raises:
            WeightsError: it does not fit.
        """
        rest = {name: path for name, path in self.places.rest(match).items() if not _dropped(name, self.drop)}
        keys = {name: path for name, path in match.keys.items() if not _dropped(name, self.drop)}
        self._check(keys)
        state: Any = OrderedDict((name, self.checkpoint.tensors[path]) for name, path in {**rest, **keys}.items())
        state |= {name: value for name, value in self.places.extras(match).items() if name not in state}
        state._metadata = OrderedDict((path, dict(value)) for path, value in self.places.metadata(match).items())
        missing, unexpected, misshaped = self._into_module(state)
        lacks = lacking(self.own, set(self.own) - set(missing))
        missing = [name for name in missing if name not in self.own or name in lacks]
        unexpected = [name for name in unexpected if not name.endswith(COUNTER)]
        wrong = [
            _listed(kind, names)
            for kind, names in (("missing", missing), ("unexpected", unexpected), ("mis-shaped", misshaped))
            if names
        ]
        if wrong:
            raise WeightsError(
                f"{self.checkpoint.file} does not fit {type(self.module).__name__}: {', '.join(wrong)}",
                self._hint(missing, unexpected, misshaped),
            )

    def _into_module(self, state: Any) -> tuple[list[str], list[str], list[str]]:
        """What the model's own loading says is missing, unexpected and of another shape."""
        takes = inspect.signature(self.module.load_state_dict).parameters
        how: dict[str, Any] = {"strict": False} if "strict" in takes else {}
        if "assign" in takes and any(tensor.is_meta for tensor in self.own.values()):
            how["assign"] = True
            state |= {name: state[name].to(self.own[name].dtype) for name in state if name in self.own}
        try:
            with quiet():
                said = self.module.load_state_dict(state, **how)
        except RuntimeError as exc:
            misshaped = [f"{name}: [{have}] for [{want}]" for name, have, want in _MISSHAPED.findall(str(exc))]
            if not misshaped:
                raise self._failed(exc) from exc
            return (
                [name for name in self.own if name not in state],
                [name for name in state if name not in self.own],
                misshaped,
            )
        except Exception as exc:  # the hooks are the user's code
            raise self._failed(exc) from exc
        return list(getattr(said, "missing_keys", ())), list(getattr(said, "unexpected_keys", ())), []

    def _failed(self, exc: BaseException) -> WeightsError:
        place = place_of(exc)
        where = f" at {place}" if place else ""
        return WeightsError(
            f"{self.checkpoint.file} cannot be loaded into {type(self.module).__name__}{where}: {first_line(exc)}",
            "build the model these weights come from (--arg name=value)",
        )

    def _check(self, keys: Mapping[str, str]) -> None:
        """Refuse what loading would alter in silence: two values of one tied tensor, and numbers of another kind."""
        import torch

        tensors = {name: self.checkpoint.tensors[path] for name, path in keys.items()}
        for name, others in tied(self.own).items():
            for other in others:
                if name in tensors and other in tensors and not torch.equal(tensors[name], tensors[other]):
                    message = (
                        f"{self.checkpoint.file} has two values for one tensor of {type(self.module).__name__}: {name} "
                        f"and {other} are tied there, and differ in the file"
                    )
                    raise WeightsError(message, f"untie them in the model, or leave one out: --drop {max(name, other)}")
        for name, tensor in tensors.items():
            own = self.own[name]
            exact = (
                not isinstance(own, torch.nn.Parameter)
                and not tensor.is_complex()
                and torch.equal(tensor.to(own.dtype).to(tensor.dtype), tensor)
            )
            if _kind(tensor) != _kind(own) and not exact:
                raise WeightsError(
                    f"{self.checkpoint.file}: {name} is {_dtype(tensor)}, the model's is {_dtype(own)}",
                    "give the weights before they were quantised",
                )

    def check_dropped(self, match: Match, paths: Sequence[str]) -> None:
        """Refuse a `--drop` that nothing begins with."""
        names = {*paths, *match.keys, *self.places.rest(match)}
        idle = [text for text in self.drop if not any(_dropped(name, (text,)) for name in names)]
        if idle:
            raise UsageError(
                f"--drop {idle[0]}: there is no such name in {self.checkpoint.file}", f"it has {listed(paths)}"
            )

    def notes(self, match: Match, rivals: Sequence[Match]) -> list[str]:
        """What was taken and what was left, a line each."""
        file, found = self.checkpoint.file, self.places.stood(match)
        where = [f"entry '{found['entry']}'"] if "entry" in found else []
        where += [f"prefix '{found['prefix']}' taken off"] if "prefix" in found else []
        lines = [f"{file}: {', '.join(where)} ({_counted(match.keys)})"] if where else []
        if rivals:
            others = " or ".join(f"--weights '{file}#{one.prefix}'" for one in rivals[:SHOWN])
            lines[:1] = [
                f"{file} holds {len(rivals) + 1} sets of these weights: averaged ones are taken, '{match.prefix}' "
                f"(the other: {others})"
            ]
        partial = (
            [
                one
                for one in self.places.matches
                if one.missing and 2 * len(one.keys) > len(self.own) and self.places.averaged(one)
            ]
            if match.whole
            else []
        )
        lines += [
            f"{file}: averaged weights '{one.prefix}' are not taken, as {_listed('missing there', one.missing)}"
            for one in partial
        ]
        beside = self.places.beside(match)
        lines += [f"{file}: {_counted(beside)} beside the model left out ({listed(beside, SHOWN)})"] if beside else []
        lines += (
            [f"{file}: objects beside the tensors are left out, never run ({listed(self.checkpoint.objects)})"]
            if self.checkpoint.objects
            else []
        )
        lines += [
            f"{file}: '{path}' is a whole pickled model and is left out, never run" for path in self.checkpoint.modules
        ]
        halves = [
            self.checkpoint.tensors[path]
            for name, path in match.keys.items()
            if _wider(self.checkpoint.tensors[path], self.own[name])
        ]
        lines += [f"{file}: {_counted(halves)} of {_dtype(halves[0])} run as float32"] if halves else []
        return lines

    def _hint(self, missing: Sequence[str], unexpected: Sequence[str], misshaped: Sequence[str]) -> str:
        if not missing and not misshaped:
            return (
                "leave out what the model has no place for: "
                f"{' '.join(f'--drop {text}' for text in _to_drop(unexpected, self.own))}"
            )
        if any(name.startswith("torch.distributed") for name in self.checkpoint.objects):
            return "tensors of it are sharded (DTensor): save the full state dict"
        if any(".lora_" in name for name in self.checkpoint.tensors):
            return "this is an adapter (LoRA): merge it into its model first (merge_and_unload), and save that"
        if any("flat_param" in name for name in self.checkpoint.tensors) or (
            "ds_version" in self.checkpoint.keys and misshaped
        ):
            return "these are parts of a sharded model: put it together first (full state dict, zero_to_fp32.py)"
        if not unexpected and not misshaped and hasattr(self.module, "tie_weights"):
            return "tie shared tensors as the model is built: call its tie_weights() there"
        return "build the model these weights come from (--arg name=value)" + (
            f"; the file has {described(self.checkpoint)}" if len(self.checkpoint.entries()) > 1 else ""
        )


def pickled_model(checkpoint: Checkpoint) -> UnsafeFile:
    """The refusal of a whole pickled model, with the lines that save what is needed of it."""
    import json

    place = next((path for path in checkpoint.modules if "ema" in path), next(iter(checkpoint.modules)))
    model = "model" + "".join(f"[{json.dumps(key)}]" for key in place.split(".") if key)
    stem = checkpoint.file.rpartition(".")[0] or checkpoint.file
    lines = (
        "import torch",
        f'model = torch.load({json.dumps(checkpoint.file)}, map_location="cpu", weights_only=False)',
        f'torch.save({model}.float().state_dict(), "{stem}_weights.pt")',
    )
    package = checkpoint.modules[place].partition(".")[0]
    there = "in the script that saved it" if package == "__main__" else f"where {package} can be imported"
    what = (
        f"{checkpoint.file} holds a whole pickled model ({checkpoint.modules[place]}), which runs code when it is "
        "opened; refused, never executed"
    )
    return UnsafeFile(what, f"if you trust it, save its weights alone {there}, then give {stem}_weights.pt:", lines)


def _dropped(name: str, drop: Sequence[str]) -> bool:
    return any(fnmatch.fnmatchcase(name, text) if "*" in text else name.startswith(text) for text in drop)


def _to_drop(unexpected: Sequence[str], own: Iterable[str]) -> list[str]:
    """What names unexpected tensors and nothing of the model's: the parts that they belong to, or their last names
    where those are fewer.
    """
    own = list(own)

    def start(name: str) -> str:
        parts = name.split(".")
        shorter = (".".join(parts[:count]) + "." for count in range(1, len(parts)))
        return next((text for text in shorter if not any(key.startswith(text) for key in own)), name)

    starts = list(dict.fromkeys(start(name) for name in unexpected))
    ends = list(dict.fromkeys(f"'*.{name.rpartition('.')[2]}'" for name in unexpected))
    clear = not any(_dropped(key, [text.strip("'") for text in ends]) for key in own)
    return ends if len(starts) > len(ends) and len(starts) > SHOWN and clear else starts


def _listed(kind: str, keys: Iterable[str]) -> str:
    keys = list(keys)
    return f"{len(keys)} {kind} ({listed(keys, SHOWN)})"


def _counted(tensors: Sized) -> str:
    return f"{len(tensors)} tensor{'s' if len(tensors) != 1 else ''}"


def _is_tensor(value: object) -> bool:
    import torch

    return isinstance(value, torch.Tensor)


def _kind(tensor: torch.Tensor) -> str:
    return "float" if tensor.is_floating_point() else "complex" if tensor.is_complex() else "whole"


def _wider(file: torch.Tensor, own: torch.Tensor) -> bool:
    return file.is_floating_point() and file.dtype.itemsize < 4 and own.dtype.itemsize >= 4


def _dtype(tensor: torch.Tensor) -> str:
    return str(tensor.dtype).removeprefix("torch.")


_MISSHAPED = re.compile(
    r"size mismatch for (\S+): copying a param with shape torch\.Size\(\[([\d, ]*)\]\) from checkpoint, the shape in "
    r"current model is torch\.Size\(\[([\d, ]*)\]\)"
)
