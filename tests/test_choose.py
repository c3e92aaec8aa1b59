from __future__ import annotations

from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from torchport.choice import budget
from torchport.choice.choose import WIDEST_TIE, choose
from torchport.stats import EQUAL_FILES, tango
from torchport.types import Accuracy, Budget, Candidate, Choice, Parity, Reference, Timing

REFERENCE = Reference(latency_ms=20.0, accuracy=0.8, size_bytes=18_000_000)
GOOD = Parity(ok=True, max_rel=1e-6, snr_db=110.0)


def accuracy(items: int = 1000, gained: int = 0, lost: int = 0, labelled: bool = True, base: float = 0.8) -> Accuracy:
    base = base if labelled else 1.0
    return Accuracy(
        value=base + (gained - lost) / items,
        items=items,
        interval=tango(gained, lost, items),
        metric="top-1" if labelled else "agreement",
        labelled=labelled,
    )


def row(name: str, ms: float | None = 10.0, *, noise: float = 0.0, size: int = 18_000_000, **more: Any) -> Candidate:
    target, recipe = name.split("-")[:2]
    known = {
        "precision": recipe.partition("_")[0],
        "threads": 2,
        "profiles": ("python", "server"),
        "size_bytes": size,
        "memory_bytes": 50_000_000,
        "latency_ms": None if ms is None else Timing(median=ms, p90=ms * 1.1, noise=noise),
        "accuracy": accuracy(),
        "parity": GOOD,
    }
    return Candidate(id=name, target=target, recipe=recipe, **{**known, **more})


def decide(
    *rows: Candidate, text: str = "accuracy>=99%", profile: str = "python", reference: Reference = REFERENCE
) -> Choice:
    choice = choose(rows, reference, budget.parse(text), profile)
    assert msgspec.json.decode(msgspec.json.encode(choice), type=Choice) == choice
    assert [c.id for c in choice.candidates] == [c.id for c in rows]
    return choice


def by_id(choice: Choice) -> dict[str, Candidate]:
    return {c.id: c for c in choice.candidates}


def test_the_fastest_wins_and_the_words_say_by_how_much():
    choice = decide(row("a-fp32", 6.9), row("b-fp32", 5.7), row("c-fp32", 11.4))
    assert choice.chosen == "b-fp32"
    assert choice.met == "yes"
    assert (
        choice.why
        == "b-fp32 answers in 5.7 ms with 2 threads; 3.51x faster than the reference; 1.21x faster than a-fp32; 2x "
        "faster than c-fp32"
    )
    rows = by_id(choice)
    assert [rows[name].status for name in ("a-fp32", "b-fp32", "c-fp32")] == ["ok", "chosen", "ok"]
    assert rows["a-fp32"].reason == "1.21x the time of b-fp32 (6.9 ms against 5.7 ms)"
    assert rows["b-fp32"].reason is None


def test_within_the_noise_the_smaller_wins_then_the_name():
    choice = decide(row("a-fp32", 10.0, noise=0.03), row("b-fp32", 10.2, size=9_000_000))
    assert choice.chosen == "b-fp32"
    assert "tied with a-fp32 (10 ms) within the noise and smaller (9 MB against 18 MB)" in choice.why
    assert by_id(choice)["a-fp32"].reason.startswith("tied with b-fp32")
    assert decide(row("b-fp32", 10.0, noise=0.03), row("a-fp32", 10.2)).chosen == "a-fp32"
    assert decide(row("a-fp32", 10.0, noise=0.01), row("b-fp32", 10.2, size=9_000_000)).chosen == "a-fp32"


def test_however_noisy_the_tie_is_bounded():
    assert decide(row("a-fp32", 10.0, noise=0.5), row("b-fp32", 10.4, noise=0.5, size=1)).chosen == "a-fp32"


@given(st.lists(st.tuples(st.floats(0.01, 1e4), st.floats(0, 2), st.integers(1, 10**9)), min_size=1, max_size=8))
def test_the_winner_is_never_far_from_the_fastest(figures):
    rows = [row(f"t{i}-fp32", ms, noise=noise, size=size) for i, (ms, noise, size) in enumerate(figures)]
    choice = decide(*rows)
    assert by_id(choice)[choice.chosen].latency_ms.median <= min(ms for ms, _, _ in figures) * (1 + WIDEST_TIE)
    assert choice.front
    assert [c.status for c in choice.candidates].count("chosen") == 1


def test_failed_and_absent_rows_pass_through():
    failed, absent = (
        row("a-fp32", None, status="failed", reason="crashed"),
        row("b-fp32", None, status="absent", reason="not installed"),
    )
    choice = decide(failed, absent, row("c-fp32"))
    assert choice.candidates[:2] == (failed, absent)
    assert choice.chosen == "c-fp32"


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("latency<=8ms", "answers in 10 ms, 2 ms (25 %) over the 8 ms allowed"),
        ("size<=8MB", "takes 18 MB, 10 MB (125 %) over the 8 MB allowed"),
        ("memory<=40MB", "needs memory of 50 MB, 10 MB (25 %) over the 40 MB allowed"),
    ],
)
def test_over_a_limit_is_rejected_with_the_excess_and_nearest_says_so(text, reason):
    choice = decide(row("a-fp32"), row("b-fp32", 30.0, size=60_000_000, memory_bytes=90_000_000), text=text)
    axis = text.partition("<")[0]
    assert choice.chosen is None
    assert choice.met == "no"
    assert choice.chosen_for == {}
    assert by_id(choice)["a-fp32"].status == "rejected"
    assert by_id(choice)["a-fp32"].reason == reason
    assert choice.nearest == {axis: f"a-fp32 {reason}"}
    assert "a-fp32 rejected" in choice.met_because


def test_exactly_on_the_limit_is_inside():
    assert decide(row("a-fp32"), text="latency<=10ms,size<=18MB,memory<=50MB").met == "yes"


@pytest.mark.parametrize("text", ["accuracy>=99%", "accuracy<=1pt", "accuracy>=0.79"])
def test_lost_accuracy_is_rejected(text):
    choice = decide(row("a-int8", 1.0, accuracy=accuracy(lost=30)), row("b-fp32"), text=text)
    assert choice.chosen == "b-fp32"
    reason = by_id(choice)["a-int8"].reason
    assert reason.startswith("top-1 77 % on 1000 items is")
    assert "below the 79" in reason


def test_few_items_cannot_show_the_budget_and_it_is_said_how_many_could():
    choice = decide(
        row("a-fp32", accuracy=accuracy(20, base=1.0)), reference=msgspec.structs.replace(REFERENCE, accuracy=1.0)
    )
    assert choice.chosen == "a-fp32"
    assert choice.met == "not shown"
    assert (
        choice.met_because
        == "20 items leave a loss of up to 16.1 points open (95 % interval), 1 point allowed: about 381 items would "
        "be needed if they go on as these did"
    )


def test_enough_items_show_it():
    choice = decide(row("a-fp32", accuracy=accuracy(20_000, gained=5, lost=10)), text="accuracy<=1pt, latency<=12ms")
    assert choice.met == "yes"
    assert "latency 10 ms of 12 ms allowed" in choice.met_because
    assert "20000 items" in choice.met_because


def test_differing_items_ask_for_more():
    quiet, busy = (decide(row("a-int8", accuracy=accuracy(100, gained=n, lost=n))).met_because for n in (0, 5))
    number = [int(text.partition("about ")[2].partition(" ")[0].replace(",", "")) for text in (quiet, busy)]
    assert number[1] > 5 * number[0]


def test_an_absolute_accuracy_needs_its_own_proof():
    assert decide(row("a-fp32", accuracy=accuracy(20)), text="accuracy>=0.75").met == "not shown"
    assert decide(row("a-fp32", accuracy=accuracy(5000)), text="accuracy>=0.75").met == "yes"
    at_the_limit = decide(row("a-fp32", accuracy=accuracy(5000)), text="accuracy>=0.8")
    assert at_the_limit.met == "not shown"
    assert "no number of items" in at_the_limit.met_because


def test_without_labels_agreement_is_held_against_one():
    rows = (
        row("a-int8", 1.0, accuracy=accuracy(1000, lost=20, labelled=False)),
        row("b-fp32", accuracy=accuracy(1000, labelled=False)),
    )
    choice = decide(*rows, reference=msgspec.structs.replace(REFERENCE, accuracy=None))
    assert choice.chosen == "b-fp32"
    assert choice.met == "yes"
    assert "agreement 98 % on 1000 items" in by_id(choice)["a-int8"].reason


def test_what_was_not_measured_is_not_shown():
    made_up = Parity(ok=True, max_rel=0.0, snr_db=None, made_up=True)
    choice = decide(row("a-fp32", accuracy=None, parity=made_up, memory_bytes=None), text="memory<=1GB")
    assert choice.met == "not shown"
    assert (
        choice.met_because
        == "memory cannot be measured here; accuracy was not measured: there is no data, and parity holds on made-up "
        "inputs only"
    )


def test_a_parity_failure_is_rejected_however_fast():
    bad = Parity(ok=False, max_rel=0.3, snr_db=4.0, stage="model")
    choice = decide(row("a-fp32", 1.0, parity=bad), row("b-fp32"))
    assert choice.chosen == "b-fp32"
    assert by_id(choice)["a-fp32"].reason == "parity failed in model: differs from the reference by 0.3"
    assert decide(row("a-fp32", parity=bad)).nearest == {
        "parity": "a-fp32 parity failed in model: differs from the reference by 0.3"
    }


def test_what_was_never_timed_is_rejected_with_the_reason_it_came_with():
    bad = Parity(ok=False, max_rel=0.3, snr_db=4.0, reason="output_0 is 0.3 off")
    choice = decide(
        row("a-fp32", None),
        row("b-int8", None, status="rejected", reason="the recipe lost accuracy"),
        row("c-fp32", None, parity=bad),
    )
    assert [c.reason for c in choice.candidates] == [
        "was not timed",
        "the recipe lost accuracy",
        "parity failed: output_0 is 0.3 off",
    ]
    assert {c.status for c in choice.candidates} == {"rejected"}


def test_a_recorded_decision_is_taken_anew():
    once = decide(row("a-fp32", 10.0), row("b-fp32", 12.0))
    again = decide(
        *(
            msgspec.structs.replace(c, latency_ms=Timing(median=ms, p90=ms, noise=0.0))
            for c, ms in zip(once.candidates, (10.0, 5.0), strict=True)
        )
    )
    assert [c.status for c in again.candidates] == ["ok", "chosen"]


def test_slower_than_its_float_form_is_never_picked_for_speed():
    # The smaller variant would win the tie with b, were it not beaten by its own floating-point parent.
    rows = row("a-fp32", 10.0), row("a-int8", 10.3, size=5_000_000), row("b-fp32", 10.3, noise=0.04)
    choice = decide(*rows)
    assert choice.chosen == "a-fp32"
    assert by_id(choice)["a-int8"].reason == "no faster than its floating-point parent a-fp32 (10.3 ms against 10 ms)"
    assert "no faster than their floating-point parents on this machine: a-int8" in choice.why
    assert "a-int8" in choice.front


def test_clearly_slower_than_its_float_form_is_called_slower():
    assert by_id(decide(row("a-fp32", 10.0), row("a-int8", 12.0)))["a-int8"].reason.startswith(
        "slower than its floating-point parent a-fp32"
    )


@given(st.floats(0.001, 1e3), st.floats(1.0, 1.0 + EQUAL_FILES), st.floats(0, 0.5))
def test_nothing_is_called_faster_within_what_equal_files_differ_by(ms, ratio, noise):
    equal = msgspec.structs.replace(REFERENCE, latency_ms=ms * ratio)
    choice = decide(row("a-fp32", ms, noise=noise), row("b-fp32", ms * ratio * 0.999, noise=noise), reference=equal)
    said = "; ".join([choice.why, *(c.reason or "" for c in choice.candidates)])
    assert (
        "faster than" not in said.replace("no faster than", "")
        and "slower than" not in said
        and "x the time" not in said
    )


def test_a_noisy_machine_widens_what_is_not_told_apart():
    assert "as fast as the reference" in decide(row("a-fp32", 10.0, noise=1.5)).why
    assert "2x faster than the reference" in decide(row("a-fp32", 10.0, noise=0.5)).why


def test_a_row_with_the_files_of_another_is_no_candidate():
    twin = row(
        "a-int8_weights",
        None,
        status="rejected",
        reason="same as a-fp32: the recipe changed nothing",
        same_as="a-fp32",
        parity=None,
        accuracy=None,
    )
    choice = decide(row("a-fp32"), twin)
    assert choice.candidates[1] == twin
    assert (choice.chosen, choice.front) == ("a-fp32", ("a-fp32",))
    nothing = decide(row("a-fp32"), twin, text="latency<=1ms")
    assert nothing.nearest == {"latency": "a-fp32 answers in 10 ms, 9 ms (900 %) over the 1 ms allowed"}


def test_without_a_limit_nothing_is_reported_as_met():
    choice = choose([row("a-fp32")], REFERENCE, Budget())
    assert (choice.met, choice.met_because) == ("not shown", "no budget was given")


def test_where_the_float_form_is_too_big_the_slower_variant_may_win():
    assert decide(row("a-fp32", 10.0), row("a-int8", 20.0, size=5_000_000), text="size<=8MB").chosen == "a-int8"


def test_a_float_form_of_another_shape_is_no_parent():
    assert decide(row("a-int8", 11.0), row("a-fp32-224x224", 10.0, profiles=("web",))).chosen == "a-int8"


def test_a_winner_per_profile():
    rows = (
        row("a-fp32", 5.0, profiles=("android", "ios")),
        row("b-fp32", 10.0),
        row("c-fp32", 20.0, profiles=("web", "android")),
    )
    choice = decide(*rows)
    assert choice.chosen == "b-fp32"
    assert choice.chosen_for == {
        "python": "b-fp32",
        "server": "b-fp32",
        "web": "c-fp32",
        "android": "a-fp32",
        "ios": "a-fp32",
    }
    assert by_id(choice)["a-fp32"].reason == "does not run on python: for android, ios"
    everywhere = decide(*rows, profile="any")
    assert everywhere.chosen == everywhere.chosen_for["any"] == "a-fp32"


def test_a_winner_by_each_that_can_decide():
    rows = (
        row("a-fp32", 5.0, size=20, memory_bytes=9),
        row("a-int8", 6.0, size=5, memory_bytes=8),
        row("c-int8", 7.0, size=6, memory_bytes=7),
        row("d-int8", 1.0, size=1, profiles=("web",)),
    )
    choice = decide(*rows)
    assert choice.preferred == {"latency": choice.chosen, "size": "a-int8", "memory": "c-int8"}
    assert choice.chosen == "a-fp32"


def test_a_profile_that_nothing_runs_on():
    choice = decide(row("a-fp32"), row("b-fp32", None, status="failed", reason="no operator"), profile="web")
    assert choice.chosen is None
    assert choice.chosen_for == {"python": "a-fp32", "server": "a-fp32"}
    assert choice.why == "no candidate that runs on web keeps the budget"
    assert choice.met_because == "b-fp32 failed: no operator; 1 more does not run on web"


def test_the_front_keeps_every_trade_and_nothing_that_is_beaten():
    rows = (
        row("fast-fp32", 5.0, size=20_000_000),
        row("small-int8", 8.0, size=5_000_000, accuracy=accuracy(lost=2)),
        row("lean-fp32", 9.0, memory_bytes=10_000_000),
        row("beaten-fp32", 9.5, size=21_000_000),
        row("twin-fp32", 5.0, size=20_000_000),
    )
    assert decide(*rows).front == ("fast-fp32", "small-int8", "lean-fp32")


def test_no_candidates_at_all():
    choice = decide()
    assert (choice.chosen, choice.met, choice.met_because) == (None, "no", "there was no candidate")
