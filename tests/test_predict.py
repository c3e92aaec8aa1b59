"""What anybody who holds a Bundle relies on: the best variant that runs here, one clear line where none does."""

from __future__ import annotations

import json
import re
import zipfile
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from handmade import ROWS, bundle, known
from torchport.bundle import Bundle, Manifest, trust, writer
from torchport.cli.files import expand, save_arrays
from torchport.errors import BadInput, BundleError, MissingDependency, OutputError, RunError
from torchport.jobs.bench import bench
from torchport.predict import Predictor
from torchport.targets.base import Availability
from torchport.testing import FakeTarget, millisecond
from torchport.timing import Job, Measurement, timed_by
from torchport.timing.interleave import Key
from torchport.types import Artifact
from torchport.verification import verify

REFERENCE = ROWS @ FakeTarget.weights()["weight"] + FakeTarget.weights()["bias"]


class Slow(FakeTarget):
    name = "slow"


class Code(FakeTarget):
    name = "code"
    executes_code = True


class Absent(FakeTarget):
    name = "absent"
    here = True

    def available(self, *, build: bool = False) -> Availability:
        return super().available(build=build) if build else Availability("absent", reason="librt is not installed")


@pytest.fixture(autouse=True)
def fakes() -> Iterator[None]:
    with known(FakeTarget(), Slow(), Code(), Absent()):
        yield


@pytest.fixture
def rows(tmp_path: Path) -> Path:
    path = tmp_path / "x.safetensors"
    save_file({"x": ROWS}, str(path))
    return path


def renamed(old: str, new: str) -> Callable[[Manifest], Manifest]:
    """The Bundle of a torchport that knows a target which this one does not."""

    def change(manifest: Manifest) -> Manifest:
        def of(artifact: Artifact) -> Artifact:
            return msgspec.structs.replace(artifact, target=new) if artifact.target == old else artifact

        return msgspec.structs.replace(
            manifest, variants=tuple(msgspec.structs.replace(v, artifact=of(v.artifact)) for v in manifest.variants)
        )

    return change


def answer(predictor: Predictor, path: Path) -> np.ndarray:
    return np.asarray(predictor.predict(path)["outputs"]["y"], np.float32)


def test_the_chosen_variant_answers(tmp_path: Path, rows: Path) -> None:
    with Predictor(bundle(tmp_path / "net.tport", [Slow(), FakeTarget()])) as predictor:
        assert predictor.variant.id == "slow-fp32"
        np.testing.assert_allclose(answer(predictor, rows), REFERENCE, rtol=1e-6)


def test_a_variant_and_threads_can_be_named(tmp_path: Path, rows: Path) -> None:
    path = bundle(tmp_path / "net.tport", [Slow(), FakeTarget()])
    with Predictor(path, variant="fake-fp32", threads=3) as predictor:
        assert predictor.variant.id == "fake-fp32"
        assert [runner.used.threads for runner in predictor.pipeline.runners.values()] == [3]
    with pytest.raises(BundleError, match="no variant 'fake-int8'; it has slow-fp32, fake-fp32"):
        Predictor(path, variant="fake-int8")


def test_another_variant_stands_in_for_one_that_cannot_run(tmp_path: Path, rows: Path) -> None:
    path = bundle(tmp_path / "net.tport", [Absent(), Slow()])
    with (
        pytest.warns(
            RuntimeWarning,
            match=r"using slow-fp32 \(absent-fp32: librt is not installed; pip install torchport-absent\)",
        ),
        Predictor(path) as predictor,
    ):
        np.testing.assert_allclose(answer(predictor, rows), REFERENCE, rtol=1e-6)
    with pytest.raises(MissingDependency, match="librt is not installed; pip install torchport-absent"):
        Predictor(path, variant="absent-fp32")
    with pytest.raises(MissingDependency, match=r"no variant of none runs here.*pip install torchport-absent"):
        Predictor(bundle(tmp_path / "none.tport", [Absent()]))


def test_a_variant_of_an_unknown_target_is_absent_and_the_rest_works(tmp_path: Path, rows: Path) -> None:
    path = bundle(tmp_path / "net.tport", [Slow(), FakeTarget()], renamed("slow", "tpu"))
    with (
        pytest.warns(RuntimeWarning, match=r"using fake-fp32 .*'tpu' is not known here; pip install torchport-tpu"),
        Predictor(path) as predictor,
    ):
        np.testing.assert_allclose(answer(predictor, rows), REFERENCE, rtol=1e-6)
    with pytest.raises(MissingDependency, match="torchport-tpu"):
        Predictor(path, variant="slow-fp32")
    with Bundle(path) as opened:
        verdict = verify(opened)
        choice, _ = bench(opened)
    assert (
        verdict.ok
        and not verdict.complete
        and [(row.id, row.status) for row in verdict.variants] == [("slow-fp32", "absent"), ("fake-fp32", "ok")]
    )
    assert "pip install torchport-tpu" in (verdict.variants[0].reason or "")
    assert choice.candidates[0].status == "absent" and "torchport-tpu" in (choice.candidates[0].reason or "")


def test_a_task_nobody_knows_is_a_package_to_install(tmp_path: Path) -> None:
    path = bundle(
        tmp_path / "net.tport",
        change=lambda m: msgspec.structs.replace(m, task=msgspec.structs.replace(m.task, name="smell")),
    )
    with pytest.raises(MissingDependency, match="pip install torchport-smell"):
        Predictor(path)


def test_code_from_elsewhere_needs_trust(tmp_path: Path, rows: Path) -> None:
    path = bundle(tmp_path / "net.tport", [Code(), FakeTarget()])
    with pytest.warns(RuntimeWarning, match=r"using fake-fp32 .*--trust"), Predictor(path) as predictor:
        assert predictor.variant.id == "fake-fp32"
    with pytest.raises(BundleError, match=r"can run code .* was not made here; add --trust"):
        Predictor(path, variant="code-fp32")
    with pytest.raises(BundleError, match=r"no variant of alone runs here untrusted .*--trust"):
        Predictor(bundle(tmp_path / "alone.tport", [Code()]))
    with Predictor(path, variant="code-fp32", trust=True) as predictor:
        np.testing.assert_allclose(answer(predictor, rows), REFERENCE, rtol=1e-6)
    with Bundle(path) as opened:
        assert [row.status for row in verify(opened).variants] == ["absent", "ok"]
        assert [row.status for row in verify(opened, trusted=True).variants] == ["ok", "ok"]
    trust.remember_path(path)
    with Predictor(path) as predictor:
        assert predictor.variant.id == "code-fp32"


def test_the_reference_of_a_bundle_from_elsewhere_is_not_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = bundle(tmp_path / "net.tport", [FakeTarget(), Code()])
    (path / "variants/code-fp32").rename(path / "reference")
    manifest = msgspec.json.decode((path / "torchport.json").read_bytes(), type=Manifest)
    writer.finish(
        path, msgspec.structs.replace(manifest, variants=manifest.variants[:1], reference=manifest.variants[1].artifact)
    )
    timed: list[str] = []

    def listing(jobs: Sequence[Job], /, **_: object) -> dict[Key, Measurement]:
        timed.extend(job.id for job in jobs)
        return millisecond(jobs)

    for trusted in (False, True):
        with Bundle(path) as opened, timed_by(listing):
            bench(opened, trusted=trusted, quick=True)
    assert timed == ["fake-fp32", "fake-fp32", "reference"]


def test_a_wrong_answer_is_a_failed_row(tmp_path: Path) -> None:
    class Wrong(FakeTarget):
        error = 0.01

    with Bundle(bundle(tmp_path / "net.tport", [Wrong()])) as opened:
        verdict = verify(opened)
    assert (
        not verdict.ok
        and verdict.variants[0].status == "failed"
        and (verdict.variants[0].reason or "").startswith("model: y: max_rel 1.0e-02")
    )


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_nan_from_an_artefact_is_a_failed_row_and_a_run_error(tmp_path: Path, rows: Path, value: float) -> None:
    class Nan(FakeTarget):
        error = value

    path = bundle(tmp_path / "net.tport", [Nan()])
    with Bundle(path) as opened:
        row = verify(opened).variants[0]
    assert row.status == "failed" and "NaN" in (row.reason or "") and row.max_rel == 1.0
    with Predictor(path) as predictor, pytest.raises(RunError, match="NaN or infinity"):
        predictor.predict(rows)


def test_bad_inputs_among_good_ones(tmp_path: Path, rows: Path) -> None:
    cut = tmp_path / "cut.safetensors"
    cut.write_bytes(rows.read_bytes()[:50])
    with Predictor(bundle(tmp_path / "net.tport")) as predictor:
        answered = list(predictor.predict_each([cut, rows, tmp_path / "nowhere", b"\x00", rows]))
    assert [error is None for _, _, error in answered] == [False, True, False, False, True]
    assert all(isinstance(error, BadInput) for _, _, error in answered if error)
    assert "nowhere" in str(answered[2][2])


@pytest.mark.parametrize(
    "text",
    [
        '{"x": [[1, 2, 3]]}',
        '{"x": [[1, 2, 3, "four"]]}',
        '{"y": [[1, 2, 3, 4]]}',
        '{"x": [[1, 2], [3]]}',
        "{",
        "[]",
        "null",
        '{"x": null}',
        '{"x": [[1, 2, 3, 1e400]]}',
    ],
)
def test_json_that_does_not_fit_is_one_clear_line(tmp_path: Path, text: str) -> None:
    with Predictor(bundle(tmp_path / "net.tport")) as predictor, pytest.raises((BadInput, RunError)):
        predictor.predict(text.encode())


def test_many_threads_may_use_one_predictor(tmp_path: Path) -> None:
    raw = [json.dumps({"x": [list(map(float, row))]}).encode() for row in ROWS] * 20
    with Predictor(bundle(tmp_path / "net.tport")) as predictor, ThreadPoolExecutor(8) as pool:
        answers = [np.asarray(one["outputs"]["y"][0], np.float32) for one in pool.map(predictor.predict, raw)]
    np.testing.assert_allclose(np.stack(answers), np.tile(REFERENCE, (20, 1)), rtol=1e-5, atol=1e-5)


def test_any_path_will_do(tmp_path: Path, rows: Path) -> None:
    place = tmp_path / "mes modèles, 猫 & 'co'"
    place.mkdir()
    folder = bundle(place / "réseau n°1.tport")
    with Bundle(folder) as opened:
        writer.write_zip(folder, place / "ein Stück.tport", list(opened.entries))
    for path in (folder, place / "ein Stück.tport"):
        with Predictor(path) as predictor:
            np.testing.assert_allclose(answer(predictor, rows), REFERENCE, rtol=1e-6)
    save_arrays(place / "ö ut.safetensors", {"y": REFERENCE})
    np.testing.assert_array_equal(load_file(place / "ö ut.safetensors")["y"], REFERENCE)


def test_folders_are_what_the_task_takes_of_them(tmp_path: Path) -> None:
    for name in ("b/2.npy", "a.json", "b/notes.txt", "b/1.NPY"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    assert [p.name for p in expand([tmp_path, tmp_path / "b/notes.txt"], (".npy", ".json"))] == [
        "a.json",
        "1.NPY",
        "2.npy",
        "notes.txt",
    ]
    (tmp_path / "empty").mkdir()
    with pytest.raises(BadInput, match=r"empty: no file with \.npy inside"):
        expand([tmp_path / "empty"], (".npy",))


@pytest.mark.parametrize("place", ["a-file/out.safetensors", "a-folder", ".", "nowhere/out.safetensors"])
def test_outputs_go_nowhere_rather_than_half_way(tmp_path: Path, place: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("a-file").touch()
    Path("a-folder").mkdir()
    with pytest.raises(OutputError, match="cannot write"):
        save_arrays(Path(place), {"y": REFERENCE})
    assert sorted(p.name for p in tmp_path.rglob("*")) == ["a-file", "a-folder"]


def test_a_zip_that_was_cut_or_changed(tmp_path: Path) -> None:
    folder = bundle(tmp_path / "net.tport")
    with Bundle(folder) as opened:
        writer.write_zip(folder, tmp_path / "one.tport", list(opened.entries))
    whole = (tmp_path / "one.tport").read_bytes()
    for share in (0.0, 0.1, 0.5, 0.999):
        (tmp_path / "cut.tport").write_bytes(whole[: int(len(whole) * share)])
        with pytest.raises(BundleError, match=r"cut\.tport: not a Bundle, or one that was cut off"):
            Predictor(tmp_path / "cut.tport")
    for entry in zipfile.ZipFile(tmp_path / "one.tport").infolist():
        where = entry.header_offset + 30 + len(entry.filename) + 25
        (tmp_path / "flipped.tport").write_bytes(whole[:where] + bytes([whole[where] ^ 1]) + whole[where + 1 :])
        with pytest.raises(BundleError, match=r"flipped\.tport"), Bundle(tmp_path / "flipped.tport") as opened:
            opened.check_all()


def change(document: dict[str, Any], path: str, value: object) -> None:
    *parents, last = [int(key) if key.isdigit() else key for key in path.split("/")]
    for key in parents:
        document = document[key]
    if value is None:
        del document[last]
    else:
        document[last] = value


@pytest.mark.parametrize(
    ("path", "value", "says"),
    [
        ("steps/1/graph", "brain", "'brain', which is not described"),
        ("steps/1/inputs/x", "dream", "takes 'dream'"),
        ("steps/1/inputs/x", None, "does not fit the tensors"),
        ("steps/1/outputs/z", "z", "does not fit the tensors"),
        ("steps/2/outputs/result", "other", "no step makes the result"),
        ("steps/0/host", "nonsense", "no host step 'nonsense'"),
        ("graphs/model", None, "not described"),
        ("variants/0/artifact/graphs/model", None, "does not fit graph"),
        ("variants/0/artifact/graphs/model/io/x", None, "does not fit graph"),
        ("variants/0/artifact/graphs/model/entry", "other.json", "not listed"),
        ("variants/0/id", "../fake-fp32", "leaves the Bundle"),
        ("variants/0/id", "/etc", "leaves|not listed|no plain name"),
        ("variants/0/tolerance", "much", "does not follow its schema"),
        ("golden/0/path", "golden/gone", "not listed"),
        ("variants", [], "has no variants"),
    ],
)
def test_a_manifest_whose_parts_do_not_fit(tmp_path: Path, path: str, value: object, says: str) -> None:
    manifest = bundle(tmp_path / "net.tport") / "torchport.json"
    document = json.loads(manifest.read_bytes())
    change(document, path, value)
    manifest.write_text(json.dumps(document))
    with pytest.raises(BundleError) as caught, Bundle(tmp_path / "net.tport") as opened:
        verify(opened)
        with Predictor(tmp_path / "net.tport") as predictor:
            predictor.predict(b'{"x": [[1, 2, 3, 4]]}')
    assert re.search(says, str(caught.value)), caught.value
