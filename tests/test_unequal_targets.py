"""Targets that cannot do all that others can, from the deploy to the answer: the Bundle, verify and predict say so."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

from handmade import known
from targets.toys import PARENTS, TOY_TARGETS
from torchport.bundle import Bundle
from torchport.cli import tables
from torchport.compress import parse
from torchport.deployment.deploy import Outcome, deploy
from torchport.deployment.lower import LoweringJob, ordered
from torchport.deployment.request import Request
from torchport.errors import MissingDependency, RunError, UnsupportedByTarget, UsageError
from torchport.jobs.pack import PackOptions, repack
from torchport.predict import Predictor
from torchport.tasks import tasks
from torchport.testing import millisecond
from torchport.testing.samples import image_classification
from torchport.timing import timed_by
from torchport.types import Candidate
from torchport.verification import verify

TARGETS = ["onnx", *(target.name for target in TOY_TARGETS if target.name != "ahead")]


@pytest.fixture(scope="module", autouse=True)
def toys() -> Iterator[None]:
    with known(*TOY_TARGETS, *PARENTS), timed_by(millisecond):
        yield


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Any:
    return image_classification.sample(tmp_path_factory.mktemp("colours"))


@pytest.fixture(scope="module")
def made(data: Any, tmp_path_factory: pytest.TempPathFactory) -> Outcome:
    output = tmp_path_factory.mktemp("unequal") / "colours.tport"
    request = Request(
        data.source,
        output,
        data.task,
        data=data.data,
        settings=data.settings,
        targets=TARGETS,
        recipes=["fp32"],
        keep="all",
        golden=2,
    )
    return deploy(request)


@pytest.fixture
def bundle(made: Outcome) -> Path:
    assert made.bundle is not None
    return made.bundle


def rows(made: Outcome) -> dict[str, Candidate]:
    return {row.target: row for row in made.choice.candidates}


def test_every_target_is_a_row_and_says_what_it_could_not_do(made: Outcome) -> None:
    found = rows(made)
    right = {name for name, row in found.items() if row.status in ("chosen", "ok")}
    assert right == {"onnx", "declining", "fixed_sizes", "unbatched"}, {n: r.reason for n, r in found.items()}
    assert {name: found[name].status for name in ("another_cpu", "elsewhere")} == {
        "another_cpu": "unverified",
        "elsewhere": "unverified",
    }
    assert "runs on ios" in (found["elsewhere"].reason or "") and found["elsewhere"].size_bytes
    assert "avx4096" in (found["another_cpu"].reason or "")
    assert made.choice.chosen not in ("another_cpu-fp32", "elsewhere-fp32")
    assert set(made.choice.chosen_for.values()).isdisjoint({"another_cpu-fp32", "elsewhere-fp32"})


def test_the_manifest_names_declined_graphs_and_the_machines(bundle: Path) -> None:
    with Bundle(bundle) as opened:
        variants = {variant.artifact.target: variant for variant in opened.manifest.variants}
    assert set(variants["declining"].artifact.graphs) == {"model", "postprocess"}
    assert "no free height" in variants["declining"].artifact.declined["preprocess"]
    assert set(variants["fixed_sizes"].artifact.declined) == {"preprocess"}, "a padded picture is resized otherwise"
    assert variants["fixed_sizes"].artifact.graphs["model"].io["pixels"].sizes == {}
    assert [variants[name].verified for name in ("onnx", "another_cpu", "elsewhere")] == [True, False, False]
    readme = (bundle / "README.md").read_text("utf-8")
    assert "`declining-fp32` has no graph `preprocess`" in readme
    assert "`elsewhere-fp32` runs on ios only" in readme


def test_the_programs_of_a_readme_do_without_what_is_missing(bundle: Path) -> None:
    """The Python program prepares a picture by Pillow; JavaScript has nothing to prepare it with."""
    with Bundle(bundle) as opened:
        manifest, facts = opened.manifest, opened.facts()
    task, model = tasks.get(manifest.task.name), manifest.graphs["model"]
    whole = manifest.variant("onnx-fp32").artifact
    assert set(task.snippets(facts, model, {"onnx-fp32": whole})) == {"python", "javascript"}
    kept = {name: graph for name, graph in whole.graphs.items() if name != "preprocess"}
    without = replace(whole, graphs=kept, declined={"preprocess": "a free height"})
    assert set(task.snippets(facts, model, {"onnx-fp32": without})) == {"python"}
    padded = {name: replace(one, batch="dropped") for name, one in whole.graphs["model"].io.items()}
    adapted = replace(whole, graphs={**whole.graphs, "model": replace(whole.graphs["model"], io=padded)})
    assert task.snippets(facts, model, {"onnx-fp32": adapted}) == {}, "a short program does not adapt tensors"


def test_verify_checks_what_runs_here_and_says_what_is_missing(
    bundle: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "200")
    with Bundle(bundle) as opened:
        verdict = verify(opened, trusted=True)
    found = {row.id.removesuffix("-fp32"): row for row in verdict.variants}
    assert verdict.ok and not verdict.complete
    assert {name for name, row in found.items() if row.status == "absent"} == {"another_cpu", "elsewhere"}
    assert set(found["declining"].declined) == {"preprocess"} and found["onnx"].declined == {}
    tables.verdicts(verdict.variants)
    assert "without preprocess, which the host answers for" in capsys.readouterr().out


def test_the_host_answers_for_a_declined_graph_and_in_graph_says_so(bundle: Path, data: Any, tmp_path: Path) -> None:
    picture = sorted(data.data.iterdir())[0]
    with Predictor(bundle, variant="onnx-fp32", in_graph=True) as predictor:
        right = predictor.predict(picture)
    with Predictor(bundle, variant="declining-fp32", trust=True) as predictor:
        assert [one["label"] for one in predictor.predict(picture)["labels"]] == [
            one["label"] for one in right["labels"]
        ]
    with pytest.warns(RuntimeWarning, match="declining-fp32 has no graph 'preprocess', the host answers for it"):
        said = Predictor(bundle, variant="declining-fp32", in_graph=True, trust=True)
    with said:
        assert said.predict(picture)["labels"][0]["label"] == right["labels"][0]["label"]
    with Bundle(bundle) as opened:
        repack(opened, tmp_path / "one.tport", PackOptions(keep=("declining-fp32",)))
    with pytest.raises(UnsupportedByTarget, match="declining-fp32 has no graph 'preprocess'"):
        Predictor(tmp_path / "one.tport", in_graph=True, trust=True)


def test_what_was_built_for_another_machine_is_refused_in_words(bundle: Path) -> None:
    for name, words in (("another_cpu", "a CPU with avx4096"), ("elsewhere", "it runs on ios, this is")):
        with pytest.raises(RunError, match=words):
            Predictor(bundle, variant=f"{name}-fp32", trust=True)


def test_a_packed_bundle_of_what_runs_elsewhere_says_so(bundle: Path, tmp_path: Path) -> None:
    with Bundle(bundle) as opened:
        repack(opened, tmp_path / "ios.tport", PackOptions(keep=("elsewhere-fp32",)))
    with pytest.raises(RunError, match=r"no variant of colours runs here \(elsewhere-fp32: it runs on ios"):
        Predictor(tmp_path / "ios.tport")


def test_facts_change_for_one_request_and_share_the_opened_graphs(bundle: Path, data: Any) -> None:
    picture = sorted(data.data.iterdir())[0]
    with Predictor(bundle, variant="onnx-fp32") as predictor:
        one = predictor.with_facts(top=1)
        assert [len(each.predict(picture)["labels"]) for each in (one, predictor)] == [1, 3]
        assert one.pipeline.runners is predictor.pipeline.runners
        one.close()
        assert len(predictor.with_facts(top="2").predict(picture)["labels"]) == 2
        for wrong, words in (
            ({"top": 0}, "top"),
            ({"crop": 3}, "part of the Bundle's graphs"),
            ({"tip": 1}, "no setting"),
        ):
            with pytest.raises(UsageError, match=words):
                predictor.with_facts(**wrong)


def test_a_target_that_is_not_installed_is_missing_whatever_else_cannot_run(bundle: Path, tmp_path: Path) -> None:
    with Bundle(bundle) as opened:
        repack(opened, tmp_path / "two.tport", PackOptions(keep=("elsewhere-fp32", "unbatched-fp32")))
    manifest = tmp_path / "two.tport/torchport.json"
    manifest.write_text(manifest.read_text("utf-8").replace('"target": "unbatched"', '"target": "nowhere"'), "utf-8")
    with pytest.raises(MissingDependency, match="'nowhere' is not known here"):
        Predictor(tmp_path / "two.tport")


@pytest.mark.parametrize("named", [["ahead", "between", "torchscript"], ["ahead", "torchscript"], ["ahead", "between"]])
def test_a_row_is_made_after_those_that_it_starts_from_whatever_its_name(named: list[str]) -> None:
    """A parent's parent counts too, also where the parent is no row of its own."""
    rows = ordered([LoweringJob(name, parse("fp32")) for name in named])
    assert [row.target for row in rows] == named[::-1]
