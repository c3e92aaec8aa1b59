"""What schema 4 adds to a manifest is held to its rules, and what it took away is refused or passed over."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from torchport.bundle import manifest as m
from torchport.bundle import rules
from torchport.errors import BundleError

DATA = Path(__file__).parents[1] / "data"
IO = "variants/0/artifact/graphs/model/io"


def changed(path: str, value: Any, name: str = "schema4") -> bytes:
    """The manifest of a Bundle of that schema, with one value put in its place."""
    document = json.loads((DATA / f"{name}.tport/torchport.json").read_text("utf-8"))
    *way, last = path.split("/")
    place = document
    for part in way:
        place = place[int(part)] if isinstance(place, list) else place[part]
    place[last] = value
    return json.dumps(document).encode()


def test_what_is_written_is_read_back_with_its_numbers_as_keys() -> None:
    raw = (DATA / "schema4.tport/torchport.json").read_bytes()
    read = m.decode(raw, "it")
    assert read.variants[0].artifact.graphs["model"].io["input_ids"].sizes == {1: (16, 32, 64)}
    assert m.decode(m.encode(read), "it") == read


@pytest.mark.parametrize(
    ("path", "value", "words"),
    [
        ("variants/0/artifact/declined", {"model": "no"}, "cannot do without graph 'model'"),
        ("variants/0/artifact/declined", {"other": "no"}, "cannot do without graph 'other'"),
        (f"{IO}/input_ids/sizes", {"1": [32, 16]}, "do not ascend"),
        (f"{IO}/input_ids/sizes", {"1": []}, "do not ascend"),
        (f"{IO}/input_ids/sizes", {"0": [16]}, "of no axis"),
        (f"{IO}/input_ids/sizes", {"7": [16]}, "of no axis"),
        (f"{IO}/input_ids/sizes", {"-1": [16]}, "of no axis"),
        (f"{IO}/input_ids/sizes", {"one": [16]}, "does not follow its schema"),
        (f"{IO}/input_ids/sizes", {"1": list(range(1, 67))}, "66 sizes of an axis"),
        (f"{IO}/input_ids/sizes", {"1": [16, 32]}, "in two ways"),
        (f"{IO}/scores/sizes", {"1": [1]}, "of no axis"),
        (f"{IO}/scores/layout", [1, 0], None),
        (f"{IO}/input_ids/batch", "dropped", None),
        (f"{IO}/input_ids", {"name": "x", "dtype": "int64", "batch": "dropped", "layout": [1, 0]}, "drops a batch"),
        (f"{IO}/input_ids/batch", "lost", "does not follow its schema"),
        ("variants/0/artifact/built_for", {"systems": ["a b"]}, "is not a plain name"),
        ("variants/0/artifact/built_for", {"instruction_sets": ["x"] * 65}, "65 names of machines"),
        ("variants/0/artifact/graphs/model/precision", "<script>", "is not a plain name"),
        ("steps/0/state", {}, "does not follow its schema"),
    ],
)
def test_a_manifest_that_breaks_a_rule_is_refused_by_name(path: str, value: Any, words: str | None) -> None:
    raw = changed(path, value)
    if words is None:
        rules.check(m.decode(raw, "it"), "it")
        return
    with pytest.raises(BundleError, match=words):
        rules.check(m.decode(raw, "it"), "it")


@pytest.mark.parametrize("name", ["schema1", "schema2", "schema3"])
def test_an_older_step_that_carries_a_state_is_refused(name: str) -> None:
    with pytest.raises(BundleError, match="carries a state from call to call"):
        m.decode(changed("steps/1/state", {"out": "in"}, name), "it")


def test_the_host_may_answer_where_an_artefact_has_no_graph(tmp_path: Path) -> None:
    """A step with both forms: its graph may be left out if the variant says so, and not in silence."""
    document = json.loads((DATA / "schema4.tport/torchport.json").read_text("utf-8"))
    step = next(one for one in document["steps"] if one["name"] == "model")
    step["host"] = "decode"
    graphs = document["variants"][0]["artifact"]["graphs"]
    kept = graphs.pop("model")
    with pytest.raises(BundleError, match="does not fit graph 'model'"):
        rules.check(m.decode(json.dumps(document).encode(), "it"), "it")
    document["variants"][0]["artifact"]["declined"] = {"model": "an operator"}
    rules.check(m.decode(json.dumps(document).encode(), "it"), "it")
    graphs["model"] = kept
    with pytest.raises(BundleError, match="cannot do without graph 'model'"):
        rules.check(m.decode(json.dumps(document).encode(), "it"), "it")
