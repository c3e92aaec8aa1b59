"""Load tests: of a subject whose speed is known, of a Bundle, and of a server by raw bodies and by tensors."""

from __future__ import annotations

import json
import queue
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator
from served import Served

from torchport.errors import RunError
from torchport.jobs.load_subjects import InProcess, Remote, items_of
from torchport.jobs.loadtest import Asked, loadtest
from torchport.predict import Predictor
from torchport.tasks import Item

SCHEMA = Path(__file__).parents[2] / "docs/schema/loadtest.schema.json"


class Slow:
    """Answers one sample after the other, each after a while, with the sample's number or something else."""

    name, task = "slow", None

    def __init__(self, seconds: float, wrong: int = 0, failing: int = 0) -> None:
        self.labels: list[Any] = [None, None]
        self.seconds, self.wrong, self.failing, self.asked = seconds, wrong, failing, 0
        self.waiting: queue.SimpleQueue[Any] = queue.SimpleQueue()
        threading.Thread(target=self._work, daemon=True).start()

    def _answer(self, sample: int) -> Any:
        time.sleep(self.seconds)
        self.asked += 1
        if self.failing and self.asked % self.failing == 0:
            return RunError("out of order")
        return "wrong" if self.wrong and self.asked % self.wrong == 0 else sample

    def _work(self) -> None:
        while (job := self.waiting.get()) is not None:
            job[1](self._answer(job[0]))

    def ask(self, samples: Sequence[int]) -> list[Any]:
        return [self._answer(sample) for sample in samples]

    def submit(self, sample: int, done: Callable[[Any], None]) -> None:
        self.waiting.put((sample, done))

    def stream(self, samples: Iterable[int], batch: int) -> Iterator[Any]:
        return map(self._answer, samples)

    def read(self, answer: Any) -> Any:
        return answer

    def agree(self, one: Any, other: Any) -> bool:
        return bool(one == other)

    def close(self) -> None:
        self.waiting.put(None)


def test_the_wait_of_queries_that_came_too_fast_is_counted() -> None:
    """Of 100 queries at 500/s, of which 100 a second can be answered, the last waits most of a second."""
    found = loadtest(Slow(0.01), "slow", Asked("server", seconds=0.2, qps=500, bound_ms=50))
    assert found.queries == 100 and found.latency_ms is not None and not found.valid
    assert found.latency_ms.greatest > 700 and found.latency_ms.p50 > 300
    assert found.beyond and "took longer than 50 ms, more than 1 %" in found.why


def test_single_stream_is_valid_from_64_queries_on() -> None:
    few = loadtest(Slow(0.01), "slow", Asked("single-stream", seconds=0.2))
    assert not few.valid and "64 are needed" in few.why and few.estimate_ms is None
    many = loadtest(Slow(0.001), "slow", Asked("single-stream", seconds=0.5))
    assert many.valid == (many.queries >= 64)
    assert many.latency_ms is not None and many.latency_ms.p50 >= 1


def test_wrong_answers_are_told_and_failures_make_a_run_invalid() -> None:
    wrong = loadtest(Slow(0.001, wrong=4), "slow", Asked("offline", seconds=0.3))
    assert wrong.valid and 0.5 < wrong.agreement < 0.9
    failing = loadtest(Slow(0.001, failing=5), "slow", Asked("server", seconds=0.3, qps=100, bound_ms=1000))
    assert not failing.valid and failing.failed >= 5 and "out of order" in failing.why
    with pytest.raises(RunError, match="sample 0"):
        loadtest(Slow(0.001, failing=1), "slow", Asked("offline", seconds=0.1))


def test_the_greatest_rate_is_searched_below_what_can_be_answered() -> None:
    found = loadtest(Slow(0.005), "slow", Asked("server", seconds=0.3, bound_ms=100))
    assert found.asked_qps is not None and 20 < found.asked_qps < 300
    assert len(found.tries) >= 3


def test_a_bundle_by_every_scenario(bundles: Path) -> None:
    with Predictor(bundles / "colours.tport") as predictor:
        subject = InProcess(predictor, items_of(predictor, bundles / "photos"), batch=4)
        for asked in (
            Asked("single-stream", seconds=0.2),
            Asked("multi-stream", seconds=0.2),
            Asked("server", seconds=0.2, qps=50, bound_ms=5000),
            Asked("offline", seconds=0.2),
        ):
            found = loadtest(subject, "colours.tport", asked)
            assert found.failed == 0 and found.agreement == 1.0 and found.accuracy == 1.0 and found.metric == "top-1"
        golden = items_of(predictor, None)
        assert golden and all(item.read() for item in golden)
        subject.close()


def test_a_server_by_raw_bodies_and_by_made_up_tensors(server: Served, bundles: Path) -> None:
    photos = [Item(path.name, path.read_bytes) for path in sorted(bundles.glob("photos/*/*.png"))]
    at = f"http://127.0.0.1:{server.port}/v2/models"
    for name, items in (("colours", photos), ("simple", []), ("colours", []), ("identity", [])):
        subject = Remote(f"{at}/{name}", items, connections=4)
        for asked in (Asked("single-stream", 0.1), Asked("server", 0.2, qps=50, bound_ms=5000), Asked("offline", 0.1)):
            found = loadtest(subject, name, asked)
            assert found.failed == 0 and found.agreement == 1.0 and found.queries, found.why
        subject.close()


def test_the_command(bundles: Path, server: Served, capsys: pytest.CaptureFixture[str]) -> None:
    import sys

    from torchport.cli import main

    def ran(*words: object) -> tuple[int, str, str]:
        capsys.readouterr()
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(sys, "argv", ["torchport", "loadtest", *map(str, words)])
            with pytest.raises(SystemExit) as left:
                main(ends=False)
        return left.value.code, *capsys.readouterr()

    code, out, err = ran(bundles / "colours.tport", "--scenario", "offline", "--seconds", "0.1", "--json")
    assert code == 0, err
    Draft202012Validator(json.loads(SCHEMA.read_text("utf-8"))).validate(json.loads(out))
    url = f"http://127.0.0.1:{server.port}/v2/models/simple"
    code, out, err = ran(url, "--scenario", "multi-stream", "--seconds", "0.1")
    assert code == 4 and "662 are needed" in err and "samples/s" in out
    for words, said in (
        ((url, "--scenario", "serve"), "did you mean server?"),
        ((url, "--qps", "5"), "--qps is not for"),
        ((f"http://127.0.0.1:{server.port}",), "write URL/v2/models/NAME"),
        ((f"{url}r",), "404"),
        (("http://127.0.0.1:1/v2/models/simple",), "no server of the protocol"),
    ):
        code, _, err = ran(*words)
        assert code in (2, 3) and said in err, err
