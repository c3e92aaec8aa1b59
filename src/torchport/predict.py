"""Predictor: open a Bundle and answer raw bytes. No torch from here down unless the variant itself needs it."""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np

from .bundle import Bundle, Variant, trust
from .errors import BadInput, BundleError, MissingDependency, TorchportError
from .targets import Runner, targets
from .tasks import Pipeline, tasks

Source = str | Path | bytes


class Predictor:
    """Answers raw bytes with one variant of a Bundle; a context manager.

    Args:
        bundle: a `.tport` folder or file.
        variant: id of the variant; the best one that runs here when None.
        profile: whose recorded winner to prefer when no variant is named.
        threads: threads of the runtime; the measured best when None.
        in_graph: use the exported preprocessing instead of the host's.
        trust: open targets that execute code although the Bundle was made elsewhere.
        overrides: facts of the answer's presentation, such as `top`, to use instead of the Bundle's.

    Raises:
        BundleError: the Bundle is damaged, or has no such variant.
        MissingDependency: the variant's runtime is not installed.
    """

    def __init__(
        self,
        bundle: str | Path,
        *,
        variant: str | None = None,
        profile: str = "python",
        threads: int | None = None,
        device: str = "cpu",
        in_graph: bool = False,
        trust: bool = False,
        overrides: Mapping[str, Any] | None = None,
    ) -> None:
        self._overrides = dict(overrides or {})
        self._stack = ExitStack()
        self.bundle = self._stack.enter_context(Bundle(bundle))
        try:
            self.variant = self._select(variant, profile, trust)
            self.pipeline = self._open(self.variant, threads or self.variant.threads, device, in_graph)
        except BaseException:
            self._stack.close()
            raise

    def __enter__(self) -> Predictor:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Release the runtime and forget unpacked files."""
        self._stack.close()

    def predict(self, source: Source) -> dict[str, Any]:
        """The task's answer for one input: a path, or the raw bytes themselves.

        Raises:
            BadInput: the input cannot be read or decoded.
        """
        result: dict[str, Any] = self.values(source)["result"]
        return result

    def values(self, source: Source) -> dict[str, Any]:
        """Every value of the chain for one input, from `raw` to `result`."""
        return self.pipeline.answer(source if isinstance(source, bytes) else read(source))

    def outputs(self, values: Mapping[str, Any]) -> dict[str, np.ndarray]:
        """The model graph's raw outputs among the values of one answer, by the names fixed at capture."""
        step = next(step for step in self.pipeline.steps if step.graph == "model")
        return {own: values[name] for own, name in step.outputs.items()}

    def predict_each(self, sources: Iterable[Source]) -> Iterator[tuple[dict[str, Any] | None, dict[str, Any] | None, TorchportError | None]]:
        """(result, values, error) for each input: a bad one is answered by its error and the rest go on."""
        for source in sources:
            try:
                values = self.values(source)
            except TorchportError as exc:
                yield None, None, exc
            else:
                yield values["result"], values, None

    def _select(self, wanted: str | None, profile: str, trusted: bool) -> Variant:
        manifest = self.bundle.manifest
        if wanted is not None:
            variant = manifest.variant(wanted)
            self._require(variant, trusted)
            return variant
        best = manifest.chosen_for.get(profile) or manifest.chosen
        speed = {c.id: c.latency_ms.median for c in manifest.evidence.candidates if c.latency_ms}
        order = sorted(manifest.variants, key=lambda v: (v.id != best, profile not in v.profiles, speed.get(v.id, np.inf), v.id))
        refused: dict[str, TorchportError] = {}
        for variant in order:
            try:
                self._require(variant, trusted)
            except TorchportError as exc:
                refused[variant.id] = exc
                continue
            if refused:
                warnings.warn(f"using {variant.id} ({_reasons(refused)})", RuntimeWarning, stacklevel=3)
            return variant
        if not refused:
            raise BundleError(f"{manifest.name} has no variants", "ask for the Bundle again")
        if any(isinstance(exc, BundleError) for exc in refused.values()):
            raise BundleError(f"no variant of {manifest.name} runs here untrusted ({_reasons(refused)})", "add --trust if you trust its maker")
        raise MissingDependency(f"no variant of {manifest.name} runs here ({_reasons(refused)})", "install one of the named packages")

    def _require(self, variant: Variant, trusted: bool) -> None:
        """Raise what keeps the variant from being used: no trust, no runtime, or a runtime that does not load."""
        target = targets.need(variant.artifact.target)
        trust.require(self.bundle, target, variant.id, trusted)
        state = target.available()
        if state.status != "ok":
            raise MissingDependency(f"{state.reason}", targets.install_hint(target.name))

    def _open(self, variant: Variant, threads: int | None, device: str, in_graph: bool) -> Pipeline:
        manifest = self.bundle.manifest
        task = tasks.need(manifest.task.name)
        facts = {**manifest.task.facts, **self._overrides}
        plan = Pipeline(task, facts, manifest.steps, {}, in_graph)
        needed = [step.graph for step in manifest.steps if step.graph and plan.uses_graph(step)]
        folder = self.bundle.variant_folder(variant, needed)
        target = targets.need(variant.artifact.target)
        runners: dict[str, Runner] = {}
        for name in needed:
            runner = target.open(variant.artifact, folder, manifest.graphs[name], name, device=device, threads=threads)
            runners[name] = self._stack.enter_context(runner)
        return Pipeline(task, facts, manifest.steps, runners, in_graph)


def _reasons(refused: Mapping[str, TorchportError]) -> str:
    return "; ".join(f"{name}: {exc}" for name, exc in refused.items())


def read(path: str | Path) -> bytes:
    """The bytes of an input file; BadInput says why there are none."""
    try:
        return Path(path).read_bytes()
    except OSError as exc:
        raise BadInput(f"{path}: {exc.strerror or exc}", "give a file that exists and can be read") from exc


def expand(inputs: Sequence[Path], suffixes: Sequence[str]) -> list[Path]:
    """Files as they are; a folder as its files with one of the suffixes, sorted.

    Raises:
        BadInput: a folder holds nothing that the task takes.
    """
    found: list[Path] = []
    for path in inputs:
        if not path.is_dir():
            found.append(path)
            continue
        inside = sorted(p for p in path.rglob("*") if p.is_file() and p.suffix.lower() in suffixes)
        if not inside:
            raise BadInput(f"{path}: no file with {', '.join(suffixes)} inside", "give files, or another folder")
        found += inside
    return found


def save_arrays(path: Path, arrays: Mapping[str, np.ndarray]) -> None:
    """Write arrays as safetensors, whole or not at all."""
    from safetensors.numpy import save

    from .disk import write_file

    write_file(path, save({name: np.ascontiguousarray(array) for name, array in arrays.items()}))
