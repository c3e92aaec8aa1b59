"""Where a model comes from: the user's Python, a `.pt2`, a TorchScript file, a Hugging Face folder (build half)."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..errors import BadInput, CaptureError, UsageError
from ..system.tensor_hash import state_hash
from . import checkpoint, huggingface, modules, python_source
from . import facts as stated
from .families import weights_as_source
from .processors import Processors
from .safe import kind_of, load_exported, load_scripted
from .weights import fit, pickled_model

if TYPE_CHECKING:
    import torch
    from torch.export import ExportedProgram

HUGGING_FACE = "hf:"
FORMS = "a source is package.module:name, file.py:Name, a .pt2, a TorchScript .pt or a Hugging Face folder"


@dataclass(frozen=True)
class Source:
    """An opened model: in eval mode, on the CPU, without gradients.

    Attributes:
        name: what the user called it, without folders.
        notes: what the user should know of how it was opened, a line each.
        module: the eager or scripted module; None where the source is a `.pt2`.
        exported: the program of a `.pt2`; None otherwise.
        facts: task facts that the source states (see `facts`).
        provenance: JSON-able: `kind`, `name`, `arguments`, content hashes, `parameters`, versions; no folders.
        architecture: the class that a Hugging Face folder's `config.json` names; empty for other sources.
        processors: how transformers prepares the inputs of a Hugging Face folder; None for other sources.
    """

    name: str
    module: torch.nn.Module | None = None
    exported: ExportedProgram | None = None
    facts: dict[str, Any] = field(default_factory=dict)
    provenance: dict[str, Any] = field(default_factory=dict)
    architecture: str = ""
    notes: tuple[str, ...] = ()
    processors: Processors | None = None

    @property
    def model(self) -> torch.nn.Module | ExportedProgram:
        """What there is to capture: the module, else the program."""
        model = self.exported if self.module is None else self.module
        assert model is not None, "a source has a module or an exported program"
        return model

    def input_names(self) -> list[str] | None:
        """The names that data may use, in forward's order; None where forward takes anything."""
        from .binding import argument_names, program_inputs

        if self.module is not None:
            return argument_names(self.module)
        return [one.name for one in program_inputs(self.exported)] if self.exported is not None else None


@dataclass(frozen=True)
class Weights:
    """A file of weights: `best.pth`, or one set of those in it, `best.pth#ema`; and names in it to leave out."""

    path: Path
    drop: tuple[str, ...] = ()


def open_source(
    source: str | torch.nn.Module,
    *,
    args: Mapping[str, str] | None = None,
    weights: Path | None = None,
    drop: Sequence[str] = (),
) -> Source:
    """Open whatever holds a model.

    Args:
        source: `package.module:name`, `file.py:Name`, a file, a folder, or an eager module (copied, never changed).
        args: keyword arguments for a class or factory, as typed (JSON where it parses).
        weights: `.safetensors`, `.pt`, `.pth`, `.ckpt` or `.bin` for a model that Python builds; `best.pth#ema` names
        one set of those in it. drop: names of weights to leave out, by their beginnings, or by patterns with `*`.

    Raises:
        BadInput: there is no such file, or it is damaged, or it holds weights and not a model.
        UnsafeFile: it would run code when opened.
        CaptureError: the user's Python fails, with its file and line.
        WeightsError: the weights do not fit.
        UsageError: arguments or weights for a source that takes none.
    """
    args = args or {}
    if drop and weights is None:
        raise UsageError(
            f"--drop {drop[0]}: there are no --weights to drop it from", "leave out --drop, or give --weights"
        )
    given = None if weights is None else Weights(weights, tuple(drop))
    if not isinstance(source, str):
        kind = type(modules.unwrapped(source))
        built = python_source.Built(modules.copied(modules.unwrapped(source)), None, {}, loaded=True)
        return _eager(f"{kind.__module__.rpartition('.')[2]}:{kind.__qualname__}", "module", built, given)
    if source.startswith(HUGGING_FACE):
        return _hugging_face(Path(source.removeprefix(HUGGING_FACE)), args, given)
    path, colon, name = source.rpartition(":")
    if colon and name.replace(".", "_").isidentifier() and not Path(source).exists():
        return _eager(f"{Path(path).name}:{name}", "python", python_source.build(path, name, args), given)
    if args:
        raise _built_already(Path(source))
    return _from_path(Path(source), given)


def _hugging_face(folder: Path, args: Mapping[str, str], weights: Weights | None) -> Source:
    if kind_of(folder) != "hf-dir":
        raise BadInput(
            f"there is no Hugging Face model in '{folder}'",
            "give a folder with config.json, as save_pretrained writes it; nothing is downloaded",
        )
    if args:
        raise _built_already(folder)
    found = huggingface.open_folder(folder, with_weights=weights is None)
    name, saved = folder.resolve().name, json.loads((folder / "config.json").read_bytes())
    kind = saved.get("dtype") or saved.get("torch_dtype")
    halves = (
        (f"{name}: weights of {kind} run as float32",) if kind in ("float16", "bfloat16") and weights is None else ()
    )
    built = python_source.Built(
        found.module, _sha256(folder / "config.json"), {}, loaded=True, notes=(*found.notes, *halves)
    )
    return replace(
        _eager(name, "huggingface", built, weights, found.facts),
        architecture=type(found.module).__name__,
        processors=found.processors,
    )


def _built_already(path: Path) -> UsageError:
    return UsageError(f"'{path.name}' is built already, --arg is for classes and factories", "leave out --arg")


def _from_path(path: Path, weights: Weights | None) -> Source:
    if path.suffix == ".py":
        found = python_source.names_in(path)
        raise UsageError(
            f"'{path.name}' needs the name of what builds the model",
            f"such as {path.name}:{found[0]}" if found else f"write {path.name}:Name",
        )
    if not path.exists():
        raise BadInput(f"there is no '{path}'", FORMS)
    kind = kind_of(path)
    if kind == "hf-dir":
        return _hugging_face(path, {}, weights)
    if kind == "weights":
        held = checkpoint.read(path)
        raise weights_as_source(path.name, held) if held.tensors else pickled_model(held)
    if kind == "unknown":
        raise BadInput(f"'{path.name}' holds no model", FORMS)
    if weights is not None:
        raise UsageError(f"'{path.name}' has its weights inside", "leave out --weights")
    if kind == "exported":
        return _exported(path)
    module = load_scripted(path)
    return _source(path.name, "torchscript", module, {"source_sha256": _sha256(path)}, {})


def _exported(path: Path) -> Source:
    program = load_exported(path)
    for parameter in program.parameters():
        parameter.requires_grad_(False)
    provenance = _provenance("exported", path.name, program.state_dict, sum(p.numel() for p in program.parameters()))
    return Source(path.name, exported=program, provenance=provenance | {"source_sha256": _sha256(path)})


def _eager(
    name: str, kind: str, built: python_source.Built, weights: Weights | None, facts: Mapping[str, Any] | None = None
) -> Source:
    # Where a file lies on the builder's disk is nobody's business: only its name is kept.
    arguments = {
        key: Path(value).name if isinstance(value, str) and Path(value).is_absolute() else value
        for key, value in built.arguments.items()
    }
    more: dict[str, Any] = {"arguments": arguments} if arguments else {}
    if built.source_sha256:
        more["source_sha256"] = built.source_sha256
    module = modules.unwrapped(built.module)
    notes = [*built.notes, *filter(None, [modules.in_float32(module)])]
    if weights is not None:
        path, entry = checkpoint.located(weights.path)
        taken = fit(module, checkpoint.read(path), entry=entry, drop=weights.drop)
        more |= {"weights": path.name, **{f"weights_{key}": value for key, value in taken.provenance.items()}}
        notes += taken.notes
    elif not built.loaded and any(True for _ in module.parameters()):
        notes.append(f"no --weights: {name} has random weights, unless its own code sets them")
    more |= {"notes": notes} if notes else {}
    config = getattr(module, "pretrained_cfg", None) or getattr(module, "default_cfg", None)
    timm = stated.from_timm(config) if isinstance(config, Mapping) or hasattr(config, "__dict__") else {}
    return replace(_source(name, kind, module, more, {**timm, **(facts or {})}), notes=tuple(notes))


def _source(name: str, kind: str, module: torch.nn.Module, more: Mapping[str, Any], facts: dict[str, Any]) -> Source:
    module.eval()
    parameters = list(module.parameters())
    for parameter in parameters:  # one by one: a scripted module has no requires_grad_ of its own
        parameter.requires_grad_(False)
    if any(parameter.is_meta for parameter in parameters):
        raise CaptureError(
            f"{name} has parameters without values (device 'meta')", "give the weights: --weights file.safetensors"
        )
    provenance = _provenance(kind, name, module.state_dict(), sum(p.numel() for p in parameters))
    return Source(name, module=module, facts=facts, provenance={**provenance, **more})


def _provenance(kind: str, name: str, state: Mapping[str, Any], parameters: int) -> dict[str, Any]:
    import torch

    tensors = {key: value for key, value in state.items() if isinstance(value, torch.Tensor)}
    return {
        "kind": kind,
        "name": name,
        "parameters": parameters,
        "weights_sha256": state_hash(tensors),
        "torch": torch.__version__.partition("+")[0],
    }


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
