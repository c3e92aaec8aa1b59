"""Predictor: open a Bundle and answer raw bytes. No torch from here down unless the variant itself needs it."""

from __future__ import annotations

import copy
import logging
import warnings
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from .bundle import Bundle, Variant, trust
from .errors import (
    BundleError,
    MissingDependency,
    RunError,
    TorchportError,
    UnsupportedByTarget,
    UsageError,
)
from .system import machine
from .targets import Runner, targets
from .targets.shared import here
from .tasks import Pipeline, Plan, Session, tasks
from .tasks.batching import answer_many
from .tasks.in_memory import raw_of
from .types import MOST_THREADS, Parity

Source = Any
"""One input: a path, raw bytes, or what `in_memory.raw_of` takes (an array, a tensor, a picture of Pillow, a dict of
arrays).
"""


LOG = logging.getLogger("torchport")
LOG.addHandler(logging.NullHandler())


class Predictor:
    """Answers raw bytes with one variant of a Bundle; a context manager.

    Args:
        bundle: a `.tport` folder or file.
        variant: id of the variant; the best one that runs here when None.
        profile: whose recorded winner to prefer when no variant is named.
        threads: threads of the runtime; the measured best when None.
        device: where the runtime computes, and after a slash its own name of a provider, as in
        `cuda/CUDAExecutionProvider`. Nothing falls
            back silently.
        in_graph: use the exported preprocessing instead of the host's; a named variant that lacks such a graph says so
            in a warning, and the host answers for it.
        trust: open targets that execute code although the Bundle was made elsewhere.
        overrides: facts to use instead of the Bundle's, such as `top`; those that docs/reference.md says can be changed
        at predict.

    Attributes:
        variant: what answers.
        refused: id of each better variant that does not run here -> why.
        findings: what is not here as it was when the variant was chosen, a line each with what to do about it.

    Raises:
        BundleError: the Bundle is damaged, or has no such variant.
        MissingDependency: the variant's runtime is not installed.
        RunError: the runtime has no such device or provider, or the variant was built for other machines.
        UnsupportedByTarget: no variant was named, and none has all the graphs that `in_graph` asks for.
        UsageError: an override that there is not, that has no effect, or of an impossible value.
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
        if threads is not None and not 1 <= threads <= MOST_THREADS:
            raise UsageError(f"{threads} threads", f"give 1 to {MOST_THREADS}, or None for the measured best")
        self._overrides, self._in_graph = dict(overrides or {}), in_graph
        self.refused: dict[str, TorchportError] = {}
        self._stack = ExitStack()
        self.bundle = self._stack.enter_context(Bundle(bundle))
        try:
            self.variant = self._select(variant, profile, trust)
            self.pipeline = self._open(threads or self._threads(), device)
            self.findings = self._findings(device)
        except BaseException:
            self._stack.close()
            raise

    def __enter__(self) -> Predictor:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"<Predictor {self.bundle.path.name}: {self.variant.id}>"

    def close(self) -> None:
        """Release the runtime and forget unpacked files."""
        self._stack.close()

    def predict(self, source: Source) -> dict[str, Any]:
        """The task's answer for one input: a path, the raw bytes themselves, or an array, a tensor, a picture of Pillow
        or a dict of arrays; see `in_memory.raw_of`.

        Raises:
            BadInput: the input cannot be read or decoded.
        """
        result: dict[str, Any] = self.values(source)["result"]
        return result

    def values(self, source: Source) -> dict[str, Any]:
        """Every value of the chain for one input, from `raw` to `result`."""
        return _whole(self.pipeline.answer(self._raw(source)))

    def stream(self, source: Source) -> Generator[dict[str, Any], None, dict[str, Any]]:
        """As `predict`, yielding what can be shown before the answer is complete (tokens, partial text); returns the
        answer.

        Raises:
            BadInput: the input cannot be read or decoded.
        """
        values = _whole((yield from self.pipeline.stream(self._raw(source))))
        result: dict[str, Any] = values["result"]
        return result

    def answer(self, values: Mapping[str, Any], *, start: str) -> dict[str, Any]:
        """The task's answer from a later point of the chain on: for a caller that decoded the input itself.

        Args:
            values: what the steps from `start` on read of the steps before, by the names in the manifest's wiring, as
            in
                `answer({"image": pixels}, start="preprocess")`.
            start: name of the first step that runs.

        Raises:
            UsageError: the chain has no such step, or it reads a value that is not given.
        """
        missing = self.pipeline.plan.missing(values, start)
        if missing:
            raise UsageError(
                f"the steps from {start} on read {', '.join(missing)}, which is not given",
                f"give them, or start earlier: {self.pipeline.plan.names}",
            )
        result: dict[str, Any] = _whole(self.pipeline.run(dict(values), start=start))["result"]
        return result

    def tensors(self, feed: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        """The model graph's outputs for its own inputs, both by the names fixed at capture; nothing is prepared or
        presented.

        Raises:
            UsageError: the model is several graphs.
            BadInput: the feed does not fit the graph's signature.
        """
        plan = self.pipeline.plan
        if plan.step_of("model") is None:
            raise UsageError(
                f"the model is several graphs: {', '.join(plan.signatures)}", "answer whole inputs with predict"
            )
        return self.pipeline.call("model", feed)

    def check(self, most: int | None = None) -> Parity:
        """The golden vectors answered by what is open here, and how far it is from them; not shown to differ where
        there are none.

        Args:
            most: golden items to answer; None takes all that were kept.
        """
        from .verification.check import check_pipeline

        return check_pipeline(self.pipeline, self.bundle, self.variant, most)

    def with_facts(self, **facts: Any) -> Predictor:
        """The same with some facts changed, as `overrides` would: for one request. It shares the opened graphs, and
        answers for as long as this Predictor is open; closing it closes nothing.

        Raises:
            UsageError: a fact that there is not, that has no effect, that cannot be changed, or of an impossible value.
        """
        plan = self.pipeline.plan
        changed = replace(plan, facts=plan.task.override(plan.facts, facts, in_graph=self._in_graph))
        other = copy.copy(self)
        other._stack = ExitStack()
        other._overrides = {**self._overrides, **facts}
        other.pipeline = replace(self.pipeline, plan=changed)
        return other

    def session(self) -> Session:
        """A stream of input (frames, chunks of speech) to push piece by piece.

        Raises:
            UsageError: the task takes whole inputs only.
        """
        return self.pipeline.task.session(self.pipeline)

    def drawn(self, values: Mapping[str, Any]) -> dict[str, bytes]:
        """One answer as files for people: suffix -> bytes (`.png` with boxes, `.wav`); empty where the JSON says it
        all.
        """
        return self.pipeline.task.save(values["raw"], dict(values), self.pipeline.facts)

    def outputs(self, values: Mapping[str, Any]) -> dict[str, np.ndarray]:
        """The raw outputs of the steps that carry weights, by the names fixed at capture: the model graph's, or what
        drivers made of theirs.
        """
        wired = self.pipeline.plan.model_outputs()
        return {own: values[name] for own, name in wired.items() if isinstance(values[name], np.ndarray)}

    def predict_each(
        self, sources: Iterable[Source], on_partial: Callable[[dict[str, Any]], None] | None = None
    ) -> Iterator[tuple[dict[str, Any] | None, dict[str, Any] | None, TorchportError | None]]:
        """(result, values, error) for each input: a bad one is answered by its error and the rest go on.

        Args:
            on_partial: hears of every part that `stream` would yield.
        """
        for source in sources:
            try:
                values = self._heard(source, on_partial) if on_partial else self.values(source)
            except TorchportError as exc:
                yield None, None, exc
            else:
                yield values["result"], values, None

    def predict_many(
        self, sources: Iterable[Source], batch: int = 16
    ) -> Iterator[tuple[dict[str, Any] | None, TorchportError | None]]:
        """(result, error) for each input in order: as `predict_each`, `batch` inputs of one shape at once where the
        graphs take batches.

        Takes more inputs a second than `predict`, and answers none before it has looked at some hundred.
        """
        for answer in answer_many(self.pipeline, map(self._raw_or_error, sources), batch):
            yield (None, answer) if isinstance(answer, TorchportError) else (answer["result"], None)

    def _raw(self, source: Source) -> bytes:
        return raw_of(source, self.pipeline.task, self.pipeline.facts)

    def _raw_or_error(self, source: Source) -> bytes | TorchportError:
        try:
            return self._raw(source)
        except TorchportError as exc:
            return exc

    def _heard(self, source: Source, on_partial: Callable[[dict[str, Any]], None]) -> dict[str, Any]:
        running = self.pipeline.stream(self._raw(source))
        while True:
            try:
                on_partial(next(running))
            except StopIteration as done:
                return _whole(done.value)

    def _select(self, wanted: str | None, profile: str, trusted: bool) -> Variant:
        manifest = self.bundle.manifest
        if wanted is not None:
            variant = manifest.variant(wanted)
            self._require(variant, trusted)
            if self._in_graph:
                for name, why in variant.artifact.declined.items():
                    text = f"{variant.id} has no graph '{name}', the host answers for it ({why})"
                    warnings.warn(text, RuntimeWarning, stacklevel=3)
            return variant
        best = manifest.chosen_for.get(profile) or manifest.chosen
        speed = {c.id: c.latency_ms.median for c in manifest.evidence.candidates if c.latency_ms}
        order = sorted(
            manifest.variants,
            key=lambda v: (v.id != best, not v.verified, profile not in v.profiles, speed.get(v.id, np.inf), v.id),
        )
        refused = self.refused
        for variant in order:
            try:
                self._require(variant, trusted)
                self._require_graphs(variant)
            except TorchportError as exc:
                refused[variant.id] = exc
                continue
            if refused:
                LOG.info("%s: using %s (%s)", manifest.name, variant.id, _reasons(refused))
                warnings.warn(f"using {variant.id} ({_reasons(refused)})", RuntimeWarning, stacklevel=3)
            return variant
        if not refused:
            raise BundleError(f"{manifest.name} has no variants", "ask for the Bundle again")
        if any(isinstance(exc, BundleError) for exc in refused.values()):
            raise BundleError(
                f"no variant of {manifest.name} runs here untrusted ({_reasons(refused)})",
                "add --trust if you trust its maker",
            )
        if any(isinstance(exc, MissingDependency) for exc in refused.values()):
            raise MissingDependency(
                f"no variant of {manifest.name} runs here ({_reasons(refused)})", "install one of the named packages"
            )
        raise type(next(iter(refused.values())))(f"no variant of {manifest.name} runs here ({_reasons(refused)})")

    def _require(self, variant: Variant, trusted: bool) -> None:
        """Raise what keeps the variant from being used: no trust, no runtime, a runtime that does not load, or another
        machine.
        """
        target = targets.need(variant.artifact.target)
        trust.require(self.bundle, target, variant.id, trusted)
        here.require(target, variant.artifact)

    def _require_graphs(self, variant: Variant) -> None:
        """Raise UnsupportedByTarget where `in_graph` is asked for and the variant, which nobody named, lacks a
        graph.
        """
        for name, why in variant.artifact.declined.items() if self._in_graph else ():
            raise UnsupportedByTarget(
                f"{variant.id} has no graph '{name}': {why}",
                "leave out --in-graph, so that the host answers for it, or use another variant",
            )

    def _threads(self) -> int:
        """The measured best, or fewer where this process may not keep as many cores busy; runtimes themselves count the
        machine's.
        """
        best = self.variant.threads
        return machine.threads() if best is None else min(best, machine.usable_cores())

    def _findings(self, device: str) -> tuple[str, ...]:
        from .bundle.honesty import findings

        used = {name: opened.used for name, opened in self.pipeline.runners.items() if isinstance(opened, Runner)}
        found = findings(self.variant, used, self.bundle.manifest.evidence.machine, device)
        for line in found:
            LOG.warning("%s: %s: %s", self.bundle.manifest.name, self.variant.id, line)
        return tuple(found)

    def _open(self, threads: int | None, device: str) -> Pipeline:
        manifest, variant = self.bundle.manifest, self.variant
        task, facts = tasks.need(manifest.task.name), self.bundle.facts()
        facts = task.override(facts, self._overrides, in_graph=self._in_graph) if self._overrides else facts
        plan = Plan(task, facts, manifest.steps, manifest.graphs)
        needed = [name for name in plan.needed(in_graph=self._in_graph) if name not in variant.artifact.declined]
        folder = self.bundle.variant_folder(variant, needed)
        target = targets.need(variant.artifact.target)
        place, _, provider = device.partition("/")
        runners: dict[str, Runner] = {}
        for name in needed:
            runner = target.open(
                variant.artifact,
                folder,
                manifest.graphs[name],
                name,
                device=place,
                provider=provider or None,
                threads=threads,
            )
            runners[name] = self._stack.enter_context(runner)
            LOG.debug("%s: %s opened by %s", manifest.name, name, runner.used)
        return Pipeline(plan, runners, self._in_graph)


def _whole(values: dict[str, Any]) -> dict[str, Any]:
    """The values of a chain that ends in an answer; RunError where its steps, which a stranger may have wired, end in
    something else.
    """
    if not isinstance(values["result"], dict):
        raise RunError(
            f"the steps end in {type(values['result']).__name__}, which is not an answer", "ask for the Bundle again"
        )
    return values


def _reasons(refused: Mapping[str, TorchportError]) -> str:
    return "; ".join(f"{name}: {exc}" for name, exc in refused.items())
