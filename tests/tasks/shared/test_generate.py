"""Choosing tokens on the host: greedy, beams and sampling, on a table of logits."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from torchport.tasks.calls import exhaust
from torchport.tasks.shared.generate import Rules, Sampling, beam_search, log_softmax, one_by_one

END = 0


class Table:
    """A decoder whose next logits depend on the last token only; remembers how many rows each step had."""

    def __init__(self, table: np.ndarray, rows: int = 1) -> None:
        self.table, self.rows, self.steps = table, rows, []

    def step(self, tokens: np.ndarray):
        assert len(tokens) == self.rows
        self.steps.append(self.rows)
        yield from ()  # a graph would be called here
        return self.table[tokens]

    def select(self, rows: np.ndarray) -> None:
        self.rows = len(rows)


def run(decoder, logits, rules, sampling=None):
    seen = []
    running = one_by_one(decoder, logits, rules, (sampling or Sampling()).chooser())
    while True:
        try:
            seen.append([list(row) for row in next(running)])
        except StopIteration as done:
            return done.value, seen


def beams(*args):
    return exhaust(beam_search(*args))


CHAIN = np.log(
    np.array([[0.1, 0.3, 0.3, 0.3], [0.1, 0.1, 0.7, 0.1], [0.1, 0.1, 0.1, 0.7], [0.7, 0.1, 0.1, 0.1]], np.float32)
)
"""1 -> 2 -> 3 -> end."""


def test_greedy_follows_the_best_and_leaves_finished_rows_out():
    decoder = Table(CHAIN, rows=2)
    answers, seen = run(decoder, CHAIN[[0, 2]], Rules({END}, 10))
    assert answers == [[1, 2, 3], [3]]
    assert decoder.steps == [2, 1, 1]
    assert seen[0] == [[1], [3]] and seen[-1] == answers


def test_an_answer_has_a_greatest_length():
    decoder = Table(CHAIN)
    assert run(decoder, CHAIN[[0]], Rules({END}, 2))[0] == [[1, 2]]
    assert decoder.steps == [1]  # what follows the last token is not asked for


def test_forced_tokens_come_first_and_suppressed_ones_never():
    assert run(Table(CHAIN), CHAIN[[0]], Rules({END}, 5, forced=(3, 1)))[0] == [[3, 1, 2, 3]]
    assert run(Table(CHAIN), CHAIN[[0]], Rules({END}, 3, suppress=(1, 3)))[0] == [[2]]


def test_the_same_seed_draws_the_same():
    sampling = Sampling(temperature=1.0, seed=4)
    answers = [run(Table(CHAIN), CHAIN[[0]], Rules({END}, 20), sampling)[0] for _ in range(2)]
    assert answers[0] == answers[1]
    assert (
        len(
            {
                str(run(Table(CHAIN), CHAIN[[0]], Rules({END}, 20), Sampling(temperature=1.0, seed=seed))[0])
                for seed in range(8)
            }
        )
        > 1
    )


@pytest.mark.parametrize(
    "narrow", [Sampling(temperature=1.0, top_k=1), Sampling(temperature=1.0, top_p=0.0), Sampling(temperature=0.01)]
)
def test_sampling_that_leaves_one_token_is_greedy(narrow):
    assert run(Table(CHAIN), CHAIN[[1]], Rules({END}, 5), narrow)[0] == [[2, 3]]


def test_draws_follow_the_chances():
    choose = Sampling(temperature=2.0, seed=1).chooser()
    logits = np.log(np.array([[0.64, 0.16, 0.04, 0.16]], np.float32)).repeat(4000, 0)
    share = np.bincount(choose(logits), minlength=4) / 4000
    assert share == pytest.approx([0.4 / 0.9, 0.2 / 0.9, 0.1 / 0.9, 0.2 / 0.9], abs=0.03)


@settings(deadline=None, max_examples=30)
@given(st.lists(st.floats(-30, 30, width=32), min_size=2, max_size=9), st.integers(0, 9), st.floats(0, 1))
def test_a_drawn_token_is_among_those_allowed(row, top_k, top_p):
    logits = np.array([row], np.float32)
    drawn = int(Sampling(temperature=1.0, top_k=top_k, top_p=top_p).chooser()(logits)[0])
    order = np.argsort(-logits[0], kind="stable")
    assert drawn in order[: top_k or None]
    before = np.exp(log_softmax(logits[0].astype(np.float64)))[order[: list(order).index(drawn)]].sum()
    assert drawn == order[0] or top_k or before < top_p + 1e-9


def test_beams_find_what_greedy_misses():
    """0.6 * 0.3 against 0.4 * 0.9: the better start leads to the worse answer."""
    table = np.full((5, 5), -20.0, np.float32)
    table[1, [3, 4, 2]] = np.log([0.3, 0.3, 0.4])
    table[2, 3] = np.log(0.9)
    table[3:, END] = 0.0
    start = np.full((1, 5), -20.0, np.float32)
    start[0, [1, 2]] = np.log([0.6, 0.4])
    assert run(Table(table), start, Rules({END}, 6))[0] == [[1, 2, 3]]
    assert beams(Table(table), start, Rules({END}, 6), 2, 0.0) == [2, 3]


def test_one_beam_is_greedy():
    assert beams(Table(CHAIN), CHAIN[[0]], Rules({END}, 8), 1, 1.0) == [1, 2, 3]


def test_beams_stop_at_the_greatest_length():
    assert (
        len(
            beams(
                Table(CHAIN[:, 1:] @ np.eye(3, 4, 1, dtype=np.float32) - 9 * np.eye(1, 4)),
                CHAIN[[1]],
                Rules({END}, 3),
                2,
                1.0,
            )
        )
        == 3
    )
