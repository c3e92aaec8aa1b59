"""What every task must keep, from raw bytes: `for check in task_checks(): check(TaskCase(sample, folder))`.

A case deploys the task's sample once, to every target that must take it; the checks share the Bundle. A check raises
AssertionError.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from ..bundle import Bundle
from ..deployment.deploy import Outcome, deploy
from ..deployment.request import Request
from ..errors import BadInput
from ..jobs.pack import PackOptions, repack
from ..predict import Predictor
from ..serve.app import App
from ..serve.http import Http
from ..serve.http_bodies import Call, Reply, Stream
from ..serve.repository import Repository
from ..serve.settings import Settings
from ..tasks import Item, assets, tasks
from ..types import Candidate
from ..verification import verify

if TYPE_CHECKING:
    from .samples import Sample

__all__ = ["TaskCase", "task_checks"]


@dataclass
class TaskCase:
    """A task's sample, deployed when first asked for.

    Attributes:
        sample: what the task is tried with.
        root: an empty folder for the Bundle.
    """

    sample: Sample
    root: Path

    @cached_property
    def bundle(self) -> Path:
        """The Bundle, with every variant; its folder has a space and letters beyond ASCII in its name."""
        made = self._outcome.bundle
        assert made is not None, self._outcome.choice.why
        return made

    @property
    def candidates(self) -> dict[str, Candidate]:
        """Candidate id -> what became of it."""
        _ = self.bundle
        return {one.id: one for one in self._outcome.choice.candidates}

    @cached_property
    def _outcome(self) -> Outcome:
        one = self.sample
        output = self.root / "ein Bündel 模型.tport"
        request = Request(
            one.source,
            output,
            one.task,
            data=one.data,
            settings=one.settings,
            targets=one.targets,
            recipes=["fp32"],
            keep="all",
            profile="any",
            golden=2,
        )
        return deploy(request)

    @cached_property
    def items(self) -> list[Item]:
        """The sample's items, with the facts of the Bundle."""
        with Bundle(self.bundle) as opened:
            return tasks.get(self.sample.task).items(self.sample.data, opened.facts())

    def open(self, variant: str, bundle: Path | None = None) -> Predictor:
        """The Bundle, or another, with a variant and one thread."""
        return Predictor(bundle or self.bundle, variant=variant, threads=1, trust=True)

    @property
    def variants(self) -> list[str]:
        """Ids of the variants that must be there, a target each."""
        return [f"{target}-fp32" for target in self.sample.targets]


def check_targets(case: TaskCase) -> None:
    """Every target that must take the sample answers right, at least three of them."""
    assert len(case.sample.targets) >= 3
    found = {name: case.candidates[name] for name in case.variants}
    assert {
        name: one.reason for name, one in found.items() if one.status not in ("ok", "chosen") and one.parity is None
    } == {}
    assert {name: one.parity.reason for name, one in found.items() if one.parity is not None and not one.parity} == {}
    with Bundle(case.bundle) as opened:
        assert {one.id for one in opened.manifest.variants} >= set(case.variants)


def check_facts(case: TaskCase) -> None:
    """Every fact is explained, and those of the Bundle are read as what they were when it was made."""
    task = tasks.get(case.sample.task)
    assert [name for name, about in task.about_facts.items() if not about] == []
    with Bundle(case.bundle) as opened:
        assert assets.detach(opened.facts())[0] == opened.manifest.task.facts


def check_answers(case: TaskCase) -> None:
    """Each variant answers raw bytes as the others do, with a JSON-able value of the task's answer type."""
    task = tasks.get(case.sample.task)
    first: list[dict[str, Any]] = []
    for variant in case.variants:
        with case.open(variant) as predictor:
            results = [predictor.predict(item.read()) for item in case.items]
        for result in results:
            again = json.loads(json.dumps(result, allow_nan=False))
            assert again == result, f"{variant}: not what JSON gives back"
            msgspec.convert(again, task.answer)
            assert task.words(result)
            assert task.lines(result)
        first = first or results
        assert all(task.agree(result, other) for result, other in zip(results, first, strict=True)), (
            f"{variant} answers differently from {case.variants[0]}"
        )


def check_repeats(case: TaskCase) -> None:
    """An opened Bundle answers the same input twice alike, whatever came between."""
    with case.open(case.variants[0]) as predictor:
        raws = [item.read() for item in case.items]
        first = [predictor.predict(raw) for raw in raws]
        assert [predictor.predict(raw) for raw in reversed(raws)] == first[::-1]


def check_bad_input(case: TaskCase) -> None:
    """Bytes that cannot be read are refused as BadInput that says the next step, and the Bundle goes on answering."""
    with case.open(case.variants[0]) as predictor:
        raw = case.items[0].read()
        before = predictor.predict(raw)
        for bad in case.sample.bad:
            try:
                answer = predictor.predict(bad)
            except BadInput as exc:
                assert exc.message and exc.hint, f"{bad[:40]!r}: {exc}"
                continue
            raise AssertionError(f"{bad[:40]!r} was answered: {answer}")
        assert predictor.predict(raw) == before


def check_verify(case: TaskCase) -> None:
    """`verify` finds every variant as it was when the Bundle was made."""
    with Bundle(case.bundle) as opened:
        verdict = verify(opened, trusted=True)
    assert verdict.ok, [(one.id, one.reason) for one in verdict.variants]
    assert {one.id for one in verdict.variants if one.status == "ok"} >= set(case.variants)


def check_one_file(case: TaskCase) -> None:
    """Packed as one file, and opened elsewhere, the Bundle answers as before; its facts' files are inside."""
    packed = case.root / "moved" / "one.tport"
    packed.parent.mkdir()
    with Bundle(case.bundle) as opened:
        repack(opened, packed, PackOptions(as_zip=True))
    raw = case.items[0].read()
    with case.open(case.variants[0]) as here, case.open(case.variants[0], packed) as there:
        assert there.predict(raw) == here.predict(raw)


def check_stream(case: TaskCase) -> None:
    """What is shown before an answer is complete is JSON-able, and the answer is the same."""
    with case.open(case.variants[0]) as predictor:
        raw = case.items[0].read()
        running = predictor.stream(raw)
        while True:
            try:
                json.dumps(next(running), allow_nan=False)
            except StopIteration as done:
                assert done.value == predictor.predict(raw)
                return


def check_session(case: TaskCase) -> None:
    """Where the sample has pieces to push, each answer is JSON-able, and the end has the task's answer type."""
    if not case.sample.push:
        return
    with case.open(case.variants[0]) as predictor:
        session = predictor.session()
        for piece in case.sample.push:
            json.dumps(session.push(piece), allow_nan=False)
        msgspec.convert(json.loads(json.dumps(session.finish(), allow_nan=False)), tasks.get(case.sample.task).answer)


def check_served(case: TaskCase) -> None:
    """A server answers each item as a Predictor does, as a body and as a stream of events, and refuses what is none."""
    with Predictor(case.bundle, threads=1, trust=True) as predictor:
        wanted = [predictor.predict(item.read()) for item in case.items]
    repository = Repository([case.bundle], Settings(threads=1, trust=True), name="sample")
    try:
        repository.load("sample")
        asyncio.run(_served(Http(App(repository, repository.settings)), case, wanted))
    finally:
        repository.close()


async def _served(http: Http, case: TaskCase, wanted: list[dict[str, Any]]) -> None:
    task, path = tasks.get(case.sample.task), "/v2/models/sample/predict"
    kind = {"content-type": next(iter(task.mime), "application/octet-stream")}
    if task.takes_tensors:
        kind = {}  # what a file of tensors is, its bytes say
    for item, result in zip(case.items, wanted, strict=True):
        whole = {"ok": True, **json.loads(json.dumps(result))}
        reply = await http.handle(Call("POST", path, "", kind, item.read()))
        assert isinstance(reply, Reply) and reply.status == 200, reply
        assert json.loads(reply.body) == whole
    streaming = {**kind, "accept": "text/event-stream"}
    stream = await http.handle(Call("POST", path, "", streaming, case.items[0].read()))
    assert isinstance(stream, Stream), stream
    events = [part async for part in stream.parts]
    assert events[-1].startswith(b"event: result\ndata: ")
    assert json.loads(events[-1].partition(b"data: ")[2]) == {"ok": True, **json.loads(json.dumps(wanted[0]))}
    for bad in case.sample.bad:
        refused = await http.handle(Call("POST", path, "", kind, bad))
        assert isinstance(refused, Reply) and refused.status in (400, 413, 415), refused
        assert json.loads(refused.body)["error"]


def task_checks() -> list[Callable[[TaskCase], None]]:
    """Every check, the cheap explanations first."""
    return [
        check_targets,
        check_facts,
        check_answers,
        check_repeats,
        check_bad_input,
        check_verify,
        check_one_file,
        check_stream,
        check_session,
        check_served,
    ]
