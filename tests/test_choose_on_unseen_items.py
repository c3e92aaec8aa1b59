"""A choice that is held against items that had no part in it."""

from __future__ import annotations

from typing import Any

import msgspec

from test_choose import REFERENCE, accuracy, by_id, decide, row
from torchport.types import Accuracy, Candidate


def unseen(
    name: str, ms: float, *, items: int = 1000, lost: int = 0, test: Accuracy | None = None, **more: Any
) -> Candidate:
    """A row that lost so many items among those that choose, and answered others."""
    return row(
        name,
        ms,
        accuracy=accuracy(items, lost=lost),
        agreement=1 - lost / items,
        test=test,
        test_agreement=1.0 if test else None,
        **more,
    )


TESTED = msgspec.structs.replace(REFERENCE, test_accuracy=0.8)


def test_a_winner_rests_on_the_items_that_chose_nothing():
    choice = decide(
        unseen("a-int8", 5.0, lost=2, test=accuracy(lost=2)),
        unseen("a-fp32", 10.0),
        text="accuracy<=1pt",
        reference=TESTED,
    )
    assert (choice.chosen, choice.met) == ("a-int8", "yes")
    assert choice.met_because.startswith("on the test split: 1000 items leave a loss of up to")


def test_what_others_refute_gives_way_to_what_is_shown_to_keep_the_budget():
    rows = (
        unseen("a-int4", 4.0, lost=10, test=accuracy(lost=20)),
        unseen("b-int8", 5.0, lost=9),
        unseen("c-int8", 6.0, lost=1),
        unseen("c-fp32", 10.0),
    )
    first = decide(
        *(msgspec.structs.replace(one, test=None, test_agreement=None) for one in rows), text="accuracy<=1pt"
    )
    assert first.chosen == "a-int4"
    choice = decide(*rows, text="accuracy<=1pt", reference=TESTED)
    found = by_id(choice)
    assert choice.chosen == "c-int8"
    assert set(choice.chosen_for.values()) == set(choice.preferred.values()) == {"c-int8"}
    assert (found["a-int4"].status, found["a-int4"].reason) == (
        "rejected",
        "on the test split: top-1 78 % on 1000 items is 1 point below the 79 % asked for",
    )
    assert (found["b-int8"].status, found["b-int8"].reason) == (
        "ok",
        "keeps the budget on the validation split, which is too small to show it",
    )
    assert choice.why.endswith("only what is shown to keep it went on: a-int4")


def test_where_nothing_is_shown_the_model_as_trained_is_left():
    rows = (
        unseen("a-int4", 4.0, items=100, lost=1, test=accuracy(100, lost=3)),
        unseen("b-int8", 5.0, items=100, lost=1),
        unseen("c-fp32", 10.0, items=100),
    )
    choice = decide(*rows, text="accuracy<=1pt", reference=TESTED)
    assert (choice.chosen, choice.met) == ("c-fp32", "not shown")
    alone = decide(*rows[:2], text="accuracy<=1pt", reference=TESTED)
    assert (alone.chosen, alone.met) == (None, "no")
    assert alone.nearest == {
        "accuracy": "a-int4 on the test split: top-1 77 % on 100 items is 2 points below the 79 % asked for"
    }


def test_agreement_is_shown_by_as_many_items_as_it_needs():
    rows = (
        msgspec.structs.replace(
            unseen("a-int4", 4.0, lost=1, test=accuracy(1000)), agreement=0.98, test_agreement=0.96
        ),
        msgspec.structs.replace(unseen("b-int8", 5.0), agreement=0.975),
        msgspec.structs.replace(unseen("c-int8", 6.0), agreement=0.99),
    )
    assert decide(*rows, text="accuracy<=1pt,agreement>=97%", reference=TESTED).chosen == "c-int8"


def test_a_winner_that_held_stays_where_another_profile_s_was_refuted():
    rows = (
        unseen("a-int8", 5.0, items=100, lost=1, test=accuracy(1000, lost=2)),
        unseen("b-int4", 6.0, lost=9, test=accuracy(lost=20), profiles=("web",)),
        unseen("b-fp32", 10.0, profiles=("web",)),
    )
    choice = decide(*rows, text="accuracy<=1pt", reference=TESTED)
    assert (choice.chosen, choice.chosen_for["web"]) == ("a-int8", "b-fp32")
