"""Facts: every one is explained, and what a user sets is used or refused."""

from __future__ import annotations

from typing import Literal, get_args, get_origin

import numpy as np
import pytest

from torchport.errors import UsageError
from torchport.tasks import facts as typed
from torchport.tasks import tasks
from torchport.tasks.shared import spectra
from torchport.testing.samples import sample_of


def words_of(kind):
    """The words that a fact is one of."""
    if get_origin(kind) is Literal:
        return [one for one in get_args(kind) if isinstance(one, str)]
    return [word for part in get_args(kind) for word in words_of(part)]


@pytest.mark.parametrize("name", tasks.names())
def test_every_fact_is_explained(name):
    task = tasks.get(name)
    assert set(task.about_facts) == set(task.defaults)
    assert task.at_predict | task.lowered_at_predict <= set(task.defaults)
    assert not task.at_predict & task.lowered_at_predict
    for fact, about in task.about_facts.items():
        assert about[0].isupper() or about.startswith(("true", "x, y")), (fact, about)
        assert about.endswith("."), (fact, about)
        known = typed.table(task.facts)[fact]
        for word in words_of(known.kind):
            assert word in known.meaning, f"{name}: what is {fact}={word}?"
        if known.default is None:
            assert (
                "none" in known.meaning
                or "required" in known.meaning
                or "needed" in known.meaning
                or "needs one" in known.meaning
            ), about


FACTS = {
    "jump": "x",
    "labels": "no such file",
    "tokenizer": "no/such.json",
    "target_tokenizer": "no/such.json",
    "vocabulary": "no such.json",
    "symbols": "no such.json",
    "gallery": "no such folder",
    "stop_words": "no such file",
}
FREE = {"alphabet", "stop", "template"}
"""Facts that any text is a value of."""

IMPOSSIBLE = ("-1e9", "no such value", "[[1]]")


@pytest.fixture(scope="module")
def resolved(tmp_path_factory):
    """Task -> its sample's settings, resolved as a deploy does."""
    found = {}
    for name in tasks.names():
        sample = sample_of(name, tmp_path_factory.mktemp(name))
        found[name] = (tasks.get(name), dict(sample.settings))
    return found


@pytest.mark.parametrize("name", tasks.names())
def test_every_fact_can_be_set_and_impossible_values_are_refused(name, resolved):
    task, settings = resolved[name]
    task.resolve(settings, {})
    for fact in set(task.defaults) - FREE:
        values = (FACTS[fact],) if fact in FACTS else IMPOSSIBLE[:2]
        for value in values:
            try:
                facts, _ = task.resolve({**settings, fact: value}, {})
            except UsageError as exc:
                assert exc.hint, (fact, value)
                continue
            assert fact in ("source", "language", "labels") or (fact, value) == ("mean", "-1e9"), (
                f"{fact}={value} became {getattr(facts, fact)!r}"
            )


@pytest.mark.parametrize("name", tasks.names())
def test_a_value_of_another_kind_is_a_usage_error(name, resolved):
    task, settings = resolved[name]
    for fact in task.defaults:
        for value in (10**18, [[1]], {"a": 1}, object()):
            try:
                task.resolve({**settings, fact: value}, {})
            except UsageError as exc:
                assert exc.hint, (fact, value)


@pytest.mark.parametrize("name", tasks.names())
def test_no_count_is_without_a_bound(name, resolved):
    task, settings = resolved[name]
    for fact in set(task.defaults) - FREE - set(FACTS) - {"language", "alphabet"}:
        try:
            facts, _ = task.resolve({**settings, fact: "1" + "0" * 18}, {})
        except UsageError:
            continue
        assert isinstance(np.ravel(getattr(facts, fact))[0], float), f"{fact}={getattr(facts, fact)!r}"


@pytest.mark.parametrize("name", tasks.names())
def test_when_a_bundle_is_opened_a_fact_is_changed_or_refused(name, resolved):
    task, settings = resolved[name]
    facts, _ = task.resolve(settings, {})
    with pytest.raises(UsageError, match="has no setting"):
        task.override(facts, {"no_such": 1})
    for fact in task.defaults:
        if fact not in task.at_predict | task.lowered_at_predict:
            with pytest.raises(UsageError, match="part of the Bundle's graphs"):
                task.override(facts, {fact: getattr(facts, fact)})
    for fact in task.lowered_at_predict:
        value = getattr(facts, fact)
        if value is not None:
            with pytest.raises(UsageError, match="more than the graphs were made for"):
                task.override(facts, {fact: value + 1})


def test_facts_in_a_graph_cannot_be_changed_for_it():
    task = tasks.get("object-detection")
    facts = task.resolve({"head": "yolo"}, {})[0]
    assert task.override(facts, {"threshold": "0.3"}).threshold == 0.3
    with pytest.raises(UsageError, match="part of the Bundle's graphs"):
        task.override(facts, {"threshold": 0.3}, in_graph=True)


@pytest.mark.parametrize(
    ("name", "settings", "said"),
    [
        ("text-generation", {"top_p": 0.5}, "temperature is 0"),
        ("object-detection", {"head": "yolo", "stride": 8}, "the head is yolo"),
        ("object-detection", {"head": "yolo", "fit": "stretch", "pad": 3}, "fit is stretch"),
        ("image-recognition", {"head": "ctc", "alphabet": "abc", "far": 0.5}, "the head is ctc"),
    ],
)
def test_a_setting_without_an_effect_is_refused(name, settings, said, resolved):
    task, given = resolved[name]
    settings = {**(given if name == "text-generation" else {}), **settings}
    facts, _ = task.resolve(settings, {})
    with pytest.raises(UsageError, match=said):
        task.need_used(settings, facts)


def test_mel_bands_begin_and_end_where_they_are_told():
    task = tasks.get("voice-conversion")
    facts, assumed = task.resolve({"lowest": "80", "highest": "7600"}, {})
    assert "lowest" not in assumed
    filters = spectra.mel_filters(facts)
    hertz = np.linspace(0, facts.sample_rate / 2, filters.shape[1])
    heard = hertz[filters.any(0)]
    assert heard.min() > 80
    assert heard.max() < 7600
    with pytest.raises(UsageError, match="lowest is 8000"):
        task.resolve({"lowest": 8000, "highest": 7600}, {})
