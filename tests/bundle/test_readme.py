"""A Bundle's README tells somebody who knows nothing of torchport what it is, how to run it, and what it rests on."""

from __future__ import annotations

import msgspec
from test_bundle import manifest

from torchport.bundle import Evidence, TaskRecord, readme
from torchport.types import Accuracy, Candidate


def with_evidence(**accuracy: object):
    measured = Accuracy(
        **{"value": 0.9, "items": 20, "interval": (-0.161, 0.161), "metric": "top-1", "labelled": True, **accuracy}
    )
    row = Candidate(id="fake-fp32", target="fake", recipe="fp32", precision="fp32", accuracy=measured)
    task = TaskRecord(name="tensor", facts={}, assumed=("color", "mean"))
    return msgspec.structs.replace(
        manifest(),
        task=task,
        evidence=Evidence(candidates=(row,), machine={"cpu": "Some CPU"}),
        provenance={"name": "net.py:Net", "made_up_inputs": True},
    )


def test_it_says_what_it_was_measured_on_and_what_was_assumed() -> None:
    text = readme.text(with_evidence())
    assert (
        "top-1 of the chosen variant: 90 % on the data that it was chosen on, 20 items; \N{MINUS SIGN}16.1 .. +16.1 pt "
        "beside the original (95 % interval)" in text
    )
    for words in (
        "made from `net.py:Net`",
        "assumed: color, mean",
        "inputs were made up",
        "Some CPU",
        "## Licence",
        "| input | x | float32 | [batch, 4] |",
    ):
        assert words in text


def test_it_says_so_where_nothing_was_measured() -> None:
    assert "Its accuracy was not measured." in readme.text(manifest())


def test_no_program_for_a_runtime_that_the_bundle_has_no_file_for() -> None:
    assert "without torchport" not in readme.text(manifest())


def test_a_task_that_is_not_installed_leaves_the_rest() -> None:
    text = readme.text(msgspec.structs.replace(manifest(), task=TaskRecord(name="of-somebody-else", facts={})))
    assert "of-somebody-else" in text and "## Variants" in text
