"""The gate between two Bundles: what it measures, what it lets pass, and what it says."""

from __future__ import annotations

import importlib
import itertools
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import msgspec
import numpy as np
import pytest
from safetensors.numpy import save_file

from handmade import ROWS, bundle, known
from torchport.bundle import Manifest
from torchport.choice import budget
from torchport.documents import DiffDocument
from torchport.errors import BadInput, BundleError, MissingDependency, RunError, UsageError
from torchport.tasks import tasks
from torchport.testing import FakeTarget
from torchport.timing import Job, Measurement, summarise, timed_by
from torchport.timing.interleave import Key

MEGABYTE = 10**6

diff = importlib.import_module("torchport.jobs.diff")


class Wrong(FakeTarget):
    """Answers some rows with another greatest output."""

    name = "wrong"

    @staticmethod
    def weights():
        right = FakeTarget.weights()
        return {**right, "bias": right["bias"] + np.float32([0, 2, 0])}


class Large(FakeTarget):
    """Takes ten times the disk."""

    name = "large"

    def _export(self, graph, entry, options, parent, note):
        io = super()._export(graph, entry, options, parent, note)
        entry.write_text(entry.read_text() + " " * 10_000)
        return io


class Absent(FakeTarget):
    name = "absent"
    module = "no_such_runtime"
    packages = ("no_such_runtime",)


@pytest.fixture(autouse=True)
def fakes() -> Iterator[None]:
    with known(FakeTarget(), Wrong(), Large(), Absent()):
        yield


@pytest.fixture
def times() -> Iterator[Callable[..., None]]:
    """Says what will be measured of `old` and `new`: milliseconds a run, and bytes of memory."""

    runs: Iterator[tuple[float, float]]
    weight = dict[str, int]()

    def say(
        *,
        old: Sequence[float] = (5.0, 5.0, 5.0),
        new: Sequence[float] = (5.0, 5.0, 5.0),
        old_memory: int = 50 * MEGABYTE,
        new_memory: int = 50 * MEGABYTE,
    ) -> None:
        nonlocal runs
        runs = itertools.cycle(zip(old, new, strict=True))
        weight.update(old=old_memory, new=new_memory)

    def measured(jobs: Sequence[Job], /, **_: object) -> dict[Key, Measurement]:
        one = dict(zip(("old", "new"), next(runs), strict=True))
        assert {job.id for job in jobs} == {"old", "new"}, "both are timed in one run"
        return {job.key: Measurement(timing=summarise([[one[job.id]]]), memory_bytes=weight[job.id]) for job in jobs}

    say()
    with timed_by(measured):
        yield say


@pytest.fixture
def old(tmp_path: Path) -> Path:
    return bundle(tmp_path / "old é.tport")


def make(tmp_path: Path, made: FakeTarget, change: Callable[[Manifest], Manifest] = lambda manifest: manifest) -> Path:
    return bundle(tmp_path / "new.tport", [made], change)


def test_equal_bundles_keep_any_sensible_budget(old: Path, tmp_path: Path, times) -> None:
    found = diff.diff(old, make(tmp_path, FakeTarget()), budget="accuracy<=1pt,latency<=100%,size<=100%,memory<=100%")
    assert (found.accuracy_change, found.agreement, found.changed, found.broken) == (0.0, 1.0, (), {})
    assert (found.items, found.metric, found.labelled) == (3, "agreement", False)
    assert found.met == "not shown" and "items would be needed" in found.met_because  # three items prove no point
    assert found.interval[0] < 0 < found.interval[1]
    assert found.old.size_bytes == found.new.size_bytes > 0
    assert found.speed == "not shown" and any("the same files" in warning for warning in found.warnings)


@pytest.mark.parametrize(("ms", "speed"), [(5.4, "not shown"), (4.6, "not shown"), (6.0, "slower"), (4.0, "faster")])
def test_nothing_is_called_faster_within_what_equal_files_differ_by(
    old: Path, tmp_path: Path, times, ms: float, speed: str
) -> None:
    times(new=(ms, ms, ms))
    found = diff.diff(old, make(tmp_path, Large()))
    assert found.speed == speed and not any("the same files" in warning for warning in found.warnings)


def test_every_changed_answer_is_shown(old: Path, tmp_path: Path, times) -> None:
    found = diff.diff(old, make(tmp_path, Wrong()), budget="accuracy<=1pt")
    assert 0 < len(found.changed) == round(3 * (1 - found.agreement))
    assert {one.item for one in found.changed} <= {"x[0]", "x[1]", "x[2]"}
    assert all(one.old and one.new and one.old != one.new and one.label is None for one in found.changed)
    assert "below" in found.broken["accuracy"] and found.met == "no"
    assert "agreement" in diff.diff(old, tmp_path / "new.tport", budget="agreement>=99%").broken


@pytest.mark.parametrize(
    ("limit", "measured", "broken"),
    [
        ("latency<=105%", {"new": (5.2, 5.2, 5.2)}, None),
        ("latency<=105%", {"new": (6.0, 6.0, 6.0)}, "latency"),
        ("latency<=+5%", {"new": (6.0, 6.0, 6.0)}, "latency"),
        ("latency<=100%", {"old": (5.0, 5.2, 4.8), "new": (5.1, 5.0, 5.2)}, None),  # within the noise of the two
        ("latency<=100%,latency<=5ms", {"old": (9.0, 9.0, 9.0), "new": (8.0, 8.0, 8.0)}, "latency"),
        ("latency<=10ms", {"new": (6.0, 6.0, 6.0)}, None),
        ("memory<=100%", {"new_memory": 60 * MEGABYTE}, "memory"),
        ("memory<=+50%", {"new_memory": 60 * MEGABYTE}, None),
        ("memory<=55MB", {"new_memory": 60 * MEGABYTE}, "memory"),
    ],
)
def test_what_breaks_the_budget_is_named(
    old: Path, tmp_path: Path, times, limit: str, measured: dict[str, object], broken: str | None
) -> None:
    times(**measured)
    found = diff.diff(old, make(tmp_path, FakeTarget()), budget=limit)
    assert list(found.broken) == ([broken] if broken else [])
    if broken:
        assert "over the" in found.broken[broken]


def test_size_is_that_on_disk(old: Path, tmp_path: Path, times) -> None:
    new = make(tmp_path, Large())
    assert list(diff.diff(old, new, budget="size<=200%").broken) == ["size"]
    assert diff.diff(new, old, budget="size<=10%").broken == {}
    found = diff.diff(old, new)
    assert (found.broken, found.budget, found.met) == ({}, "", "not shown")


def test_over_labelled_items_accuracy_is_compared_item_by_item(
    tmp_path: Path, times, monkeypatch: pytest.MonkeyPatch
) -> None:
    right = [int(np.argmax(row @ FakeTarget.weights()["weight"] + FakeTarget.weights()["bias"])) for row in ROWS]
    monkeypatch.setattr(
        type(tasks.get("tensor")),
        "score",
        lambda _, result, label: float(np.argmax(result["outputs"]["y"][0]) == label),
    )

    def labelled(manifest: Manifest) -> Manifest:
        return msgspec.structs.replace(
            manifest, golden=tuple(msgspec.structs.replace(one, labels=tuple(right)) for one in manifest.golden)
        )

    old = bundle(tmp_path / "old.tport", [FakeTarget()], labelled)
    found = diff.diff(old, make(tmp_path, Wrong()), budget="accuracy<=10pt")
    assert found.labelled and found.items == 3 and found.old.accuracy == 1.0
    assert (
        found.accuracy_change == pytest.approx(-len(found.changed) / 3)
        and found.interval[0] < found.accuracy_change < found.interval[1]
    )
    assert {(one.old_right, one.new_right) for one in found.changed} == {(True, False)}
    assert list(found.broken) == ["accuracy"]
    assert diff.diff(old, make(tmp_path, Wrong()), budget="accuracy>=0.1").broken == {}  # of NEW by itself


def test_data_takes_the_place_of_the_golden_items(old: Path, tmp_path: Path, times) -> None:
    rows = tmp_path / "rows.safetensors"
    save_file({"x": np.concatenate([ROWS, -ROWS, 2 * ROWS])}, str(rows))
    assert diff.diff(old, make(tmp_path, FakeTarget()), data=rows).items == 9


def test_without_items_it_asks_for_data(old: Path, tmp_path: Path, times) -> None:
    with pytest.raises(BadInput, match=r"no golden items.*--data"):
        diff.diff(
            bundle(tmp_path / "bare.tport", change=lambda manifest: msgspec.structs.replace(manifest, golden=())), old
        )


def test_bundles_of_different_kinds_are_refused(old: Path, tmp_path: Path, times) -> None:
    with pytest.raises(BadInput, match=r"is for tensor, new\.tport for embedding"):
        diff.diff(
            old,
            make(
                tmp_path,
                FakeTarget(),
                lambda m: msgspec.structs.replace(m, task=msgspec.structs.replace(m.task, name="embedding")),
            ),
        )
    with pytest.raises(BadInput, match="different labels"):
        diff.diff(
            old,
            make(
                tmp_path,
                FakeTarget(),
                lambda m: msgspec.structs.replace(
                    m, task=msgspec.structs.replace(m.task, facts={**m.task.facts, "labels": ["cat"]})
                ),
            ),
        )


def test_variants_can_be_named(tmp_path: Path, times) -> None:
    both = bundle(tmp_path / "both.tport", [FakeTarget(), Wrong()])
    found = diff.diff(both, both, variant="fake-fp32,wrong-fp32")
    assert (found.old.variant, found.new.variant) == ("fake-fp32", "wrong-fp32") and found.changed
    assert diff.diff(both, both, variant="wrong-fp32").changed == ()
    with pytest.raises(BundleError, match="no variant 'int8'"):
        diff.diff(both, both, variant="int8")
    with pytest.raises(UsageError, match="--variant"):
        diff.diff(both, both, variant="a,b,c")


def test_a_variant_that_does_not_run_here_is_no_reason_to_compare_another(old: Path, tmp_path: Path, times) -> None:
    with pytest.raises(MissingDependency, match="no_such_runtime"):
        diff.diff(old, bundle(tmp_path / "new.tport", [Absent(), FakeTarget()]))


def test_one_that_cannot_be_timed_says_why(old: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        diff, "measure", lambda jobs, **_: {job.key: Measurement(error="it crashed (SIGKILL)") for job in jobs}
    )
    with pytest.raises(RunError, match=r"cannot be timed: it crashed"):
        diff.diff(old, make(tmp_path, FakeTarget()))


def test_the_document_survives_its_json(old: Path, tmp_path: Path, times) -> None:
    found = diff.diff(old, make(tmp_path, Wrong()), budget="accuracy<=1pt")
    assert msgspec.json.decode(msgspec.json.encode(found), type=DiffDocument) == found


@pytest.mark.parametrize(
    ("text", "ratios", "limits"),
    [
        ("latency<=105%", {"latency": 1.05}, {"accuracy_share": 0.99}),
        ("latency <= +5 %, size<=50%", {"latency": 1.05, "size": 0.5}, {"accuracy_share": 0.99}),
        ("accuracy<=1pt,memory<=100%,memory<=9MB", {"memory": 1.0}, {"accuracy_drop": 0.01, "memory_bytes": 9_000_000}),
    ],
)
def test_terms_beside_an_old_one(text: str, ratios: dict[str, float], limits: dict[str, float]) -> None:
    asked = budget.parse_relative(text)
    assert asked.ratios == pytest.approx(ratios)
    for name, value in limits.items():
        assert getattr(asked.limits, name) == value
    assert all(term.replace(" ", "") in asked.text for term in text.split(","))


@pytest.mark.parametrize(
    "text",
    [
        "latency<=0%",
        "latency>=90%",
        "latency<=105%,latency<=+5%",
        "speed<=100%",
        "size<=",
        "accuracy<=1%",
        "size<=10%,",
    ],
)
def test_terms_that_cannot_be_read(text: str) -> None:
    with pytest.raises(UsageError):
        budget.parse_relative(text)
