"""Facts as a type: what is stated becomes a value of its type or is refused, and what is recorded comes back."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from jsonschema import Draft202012Validator
from msgspec import Meta

from torchport.bundle import Bundle
from torchport.errors import UsageError
from torchport.tasks import assets, tasks
from torchport.tasks.facts import Facts, Mark, Reads, read, record, table
from torchport.tasks.kinds import Share, one_of
from torchport.testing.samples import sample_of

ROOT = Path(__file__).parents[2]
SCHEMA = json.loads((ROOT / "docs/schema/facts-4.schema.json").read_text("utf-8"))

Side = Annotated[int, Meta(ge=1, le=99)]


def _upper(value: Any) -> Any:
    return value.upper()


class Toy(Facts, frozen=True, kw_only=True):
    """A fact of each kind."""

    side: Annotated[Side | Annotated[tuple[Side, ...], Meta(min_length=2, max_length=2)], "Side."] = 3
    share: Annotated[Share | Literal["auto"] | None, "Share."] = "auto"
    mean: Annotated[tuple[float, ...], "Mean."] = (0.5,)
    speed: Annotated[float, Meta(gt=0, le=8), "Speed."] = 1.0
    flag: Annotated[bool, "Flag."] = False
    scale: Annotated[Literal[1, 255], "Scale."] = 1
    none: Annotated[Literal["some", "none"], "A word."] = "some"
    head: Annotated[str, one_of("one", "two+"), "Head."] = "one"
    name: Annotated[str | None, "Name.", Reads(_upper)] = None
    stops: Annotated[tuple[str, ...], "Texts."] = ()
    file: Annotated[Path | None, "File.", Reads(Path)] = None
    table: Annotated[dict[str, float | None] | None, "Table."] = None
    told: Annotated[int, "Told.", Mark.TOLD] = 0


@pytest.mark.parametrize(
    ("name", "stated", "meant"),
    [
        ("side", "7", 7),
        ("side", 7.0, 7),
        ("side", np.int64(7), 7),
        ("side", "7,8", (7, 8)),
        ("side", [7, 8], (7, 8)),
        ("share", "none", None),
        ("share", "0.25", 0.25),
        ("share", 1, 1.0),
        ("share", "auto", "auto"),
        ("mean", "0.5", (0.5,)),
        ("mean", "[1, 2]", (1.0, 2.0)),
        ("flag", "True", True),
        ("flag", "no", False),
        ("scale", "255", 255),
        ("none", "none", "none"),
        ("none", None, "none"),
        ("head", "two+", "two+"),
        ("name", "no", "NO"),
        ("name", "none", None),
        ("name", None, None),
        ("stops", "a, b", ("a, b",)),
        ("stops", ["a", "b"], ("a", "b")),
        ("file", "x.txt", Path("x.txt")),
        ("table", '{"a": 1, "b": null}', {"a": 1.0, "b": None}),
    ],
)
def test_what_is_stated_is_understood(name: str, stated: Any, meant: Any) -> None:
    value = getattr(read(Toy, {name: stated}), name)
    assert (value, type(value)) == (meant, type(meant))


@pytest.mark.parametrize(
    ("name", "stated", "said"),
    [
        ("side", 0, "it takes a whole number, 1 to 99, or a list of 2, each a whole number, 1 to 99. Side."),
        ("side", "7,8,9", "a list of 2"),
        ("side", 7.5, "whole number"),
        ("side", True, "whole number"),
        ("share", 2, "none, or a number, 0 to 1, or auto"),
        ("mean", "NaN", "a list, each a number"),
        ("speed", 0, "a number, more than 0, at most 8"),
        ("speed", 10**400, "a number"),
        ("flag", 1, "true or false"),
        ("scale", True, "1 or 255"),
        ("none", "all", "some or none"),
        ("head", "two", r"one of one, two\+"),
        ("name", 5, "none, or text"),
        ("file", 5, "none, or a file"),
        ("table", {"a": "b"}, "a table"),
        ("stops", [[]], "a list, each text"),
    ],
)
def test_what_is_impossible_is_refused_with_what_would_be_right(name: str, stated: Any, said: str) -> None:
    with pytest.raises(UsageError, match=said) as caught:
        read(Toy, {name: stated})
    assert caught.value.message.startswith(f"{name} is ")


def test_a_bundle_names_no_file_and_no_function_reads_what_it_states() -> None:
    for stated in ({"file": "x.txt"}, {"mean": "0.5"}, {"stops": "a"}, {"head": "one\n"}):
        with pytest.raises(UsageError):
            read(Toy, stated, files=False)
    assert read(Toy, {"name": "no", "mean": 0.5, "unknown": 1}, files=False) == Toy(name="no", mean=(0.5,))


def test_what_was_told_is_recorded_where_it_is_not_the_default() -> None:
    assert "told" not in record(Toy(side=(1, 2)))
    assert (record(Toy(side=(1, 2), told=4))["side"], record(Toy(told=4))["told"]) == ([1, 2], 4)


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=5,
)


@settings(max_examples=20, deadline=None)
@given(VALUES)
def test_any_value_of_a_bundle_is_of_the_type_or_refused(value: Any) -> None:
    for kind in {tasks.get(name).facts for name in tasks.names()} | {Toy}:
        for name in table(kind):
            try:
                facts = read(kind, {name: value}, files=False)
            except UsageError as exc:
                assert str(exc).isprintable() and exc.hint
                continue
            assert read(kind, {name: getattr(facts, name)}, files=False) == facts


@pytest.mark.parametrize("name", tasks.names())
def test_facts_follow_the_published_schema_and_come_back_from_a_manifest(name: str, tmp_path: Path) -> None:
    task = tasks.get(name)
    facts = task.resolve(dict(sample_of(name, tmp_path).settings), {})[0]
    recorded, files = assets.detach(facts)
    Draft202012Validator(SCHEMA).validate({"name": name, "facts": json.loads(json.dumps(recorded))})
    assert read(task.facts, assets.attach(recorded, files.__getitem__), files=False) == facts


@pytest.mark.parametrize("schema", [1, 2, 3, 4])
def test_facts_of_old_bundles_follow_it_too(schema: int) -> None:
    with Bundle(ROOT / f"tests/data/schema{schema}.tport") as opened:
        record = opened.manifest.task
        Draft202012Validator(SCHEMA).validate({"name": record.name, "facts": record.facts})
        assert isinstance(opened.facts(), tasks.get(record.name).facts)
