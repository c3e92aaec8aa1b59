"""The search over chains: halves of the strengths, only what keeps the budget goes on, and a reason for the rest."""

from __future__ import annotations

import time

import numpy as np
import pytest

from test_choose import row
from torchport.choice.screening import CLEARLY_SLOWER, worth_measuring
from torchport.compress import Chain, RecipeContext, recipes
from torchport.deployment.search import Evaluation, Search
from torchport.frontend.program import Program

FEEDS = {"model": [{"x": np.zeros(1, np.float32)}]}


def search(keeps, feeds=FEEDS, deadline=None, taken=lambda chain: True):
    asked = []

    def look(chain: Chain) -> Evaluation:
        asked.append(chain.name)
        return Evaluation(chain, None if keeps(chain) else "too far from the model")

    return Search(look, RecipeContext(Program({}), feeds, deadline=deadline), lambda name: None, taken), asked


def strength(chain: Chain) -> float:
    return next((link.strength or 0.0 for link in chain.links), 0.0)


@pytest.mark.parametrize("most", recipes.get("prune").strengths)
def test_the_strongest_that_keeps_the_budget_is_found_in_few_looks(most):
    made, asked = search(lambda chain: strength(chain) <= most)
    names = [chain.name for chain in made.run()]
    assert any(name.startswith(f"prune@{most:g}+distil") and "int8" not in name for name in names)
    assert f"prune@{most:g}+distil@12+int8_weights" in names
    assert sum(name.endswith("distil@12") for name in asked) <= 3
    assert all(look.reason for look in made.left_out())
    assert len(asked) == len(set(asked))


def test_nothing_is_learned_without_data():
    made, asked = search(lambda chain: True, feeds={})
    names = [chain.name for chain in made.run()]
    assert not any("prune" in name or "distil" in name for name in [*names, *asked])
    assert {"fp32", "int8_weights", "int8_dynamic", "int4_weights"} <= set(names)


def test_what_does_not_keep_the_budget_goes_no_further():
    made, _ = search(lambda chain: False)
    names = [chain.name for chain in made.run()]
    assert "int8_weights" not in names
    assert "int8_weights" in {look.chain.name for look in made.left_out()}
    assert "fp32" in names


def test_what_no_target_takes_is_not_tried():
    made, asked = search(lambda chain: True, taken=lambda chain: "xnnpack" not in chain.precision)
    names = [chain.name for chain in made.run()]
    assert "int8_static" in names and any(name.endswith("distil@12+int8_static") for name in names)
    assert not any("xnnpack" in name for name in [*names, *asked, *(look.chain.name for look in made.left_out())])


def test_when_the_time_is_up_the_rest_is_said_to_be_untried():
    made, asked = search(lambda chain: True, deadline=time.monotonic() - 1)
    made.run()
    assert asked == []
    assert all("out of time" in (look.reason or "") for look in made.left_out())


def test_a_short_timing_rules_out_only_what_is_slower_and_no_smaller():
    rows = [
        row("a-fp32", size=100),
        row("a-int8_weights", size=25),
        row("b-int8_weights", size=30),
        row("b-int4_weights", size=12),
    ]
    short = {"a-fp32": 10.0, "a-int8_weights": 5.0, "b-int8_weights": 5.1 * CLEARLY_SLOWER, "b-int4_weights": 50.0}
    found = {one.id: one for one in worth_measuring(rows, short)}
    assert found["b-int8_weights"].status == "rejected"
    assert "a-int8_weights" in (found["b-int8_weights"].reason or "")
    assert [found[name].status for name in ("a-fp32", "a-int8_weights", "b-int4_weights")] == ["ok"] * 3
