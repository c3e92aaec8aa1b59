"""Chains of recipes: their names, their order, and what each stage of one asks for."""

from __future__ import annotations

import sys

import pytest

from torchport.compress import RecipeContext, parse, recipes
from torchport.errors import MissingDependency, UsageError
from torchport.frontend.program import Program


@pytest.mark.parametrize(
    "name",
    [
        "fp32",
        "fp16",
        "int8_weights",
        "prune@0.5+distil@8",
        "prune@0.3+distil@4+int8_weights",
        "prune@0.3+int8_dynamic",
        "prune@0.5+distil@8+int8_static+bf16",
    ],
)
def test_a_name_reads_back(name):
    assert parse(name).name == name


def test_the_model_as_trained_is_no_link():
    assert parse("fp32").links == ()
    assert parse("fp32+int8_weights").name == "int8_weights"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("int8_weights+prune@0.5", "comes first"),
        ("int8_weights+int4_weights", "both settle the precision"),
        ("int8_weights+int4_weights+bf16", "settle the precision"),
        ("fp16+bf16", "both settle the precision"),
        ("bf16+int4_weights", "both settle the precision"),
        ("int8_weights+bf16_stateless", "both settle the precision"),
        ("prune@0.9", "not a strength"),
        ("prune@half", "not a strength"),
        ("int8_weights@2", "has no strength"),
        ("int4_weights@48", "not a strength"),
        ("mystery", "no recipe 'mystery'"),
    ],
)
def test_what_makes_no_sense_is_refused_with_the_next_step(text, said):
    with pytest.raises(UsageError, match=said) as caught:
        parse(text)
    assert caught.value.hint


def test_an_artefact_is_held_against_the_program_it_was_lowered_from():
    assert parse("prune@0.5+distil@8+int8_dynamic").baseline == "prune@0.5+distil@8"
    assert parse("int8_dynamic").baseline == "fp32"
    assert parse("int8_weights").baseline == "int8_weights"


def test_integers_in_the_program_are_told_from_those_of_a_target():
    assert parse("int8_weights").quantised
    assert not parse("int8_dynamic").quantised
    assert parse("prune@0.5+int8_weights").precision == "int8_weights"


def test_what_stays_in_floats_can_be_settled_besides():
    for name, baseline in (
        ("int8_static+bf16", "int8_static"),
        ("int8_weights+bf16", "int8_weights"),
        ("int8_dynamic+bf16", "fp32"),
    ):
        chain = parse(name)
        assert (chain.precision, chain.baseline) == (name, baseline)


def test_the_usual_strength_goes_without_saying():
    assert parse("int4_weights@64").name == "int4_weights"
    assert parse("int4_weights").strength is None
    small = parse("prune@0.5+int4_weights@32+bf16")
    assert (small.name, small.strength, small.precision) == ("prune@0.5+int4_weights@32+bf16", 32, "int4_weights+bf16")


@pytest.mark.parametrize("name", recipes.names())
def test_every_recipe_is_what_its_row_says(name):
    recipe = recipes.get(name)
    assert recipe.name == name
    assert recipe.about
    assert list(recipe.strengths) == sorted(recipe.strengths, reverse=name == "cluster"), (
        "mildest first: of clusters the most values"
    )
    assert recipe.recovery is None or recipes.get(recipe.recovery).needs_data


@pytest.mark.parametrize("name", [name for name in recipes.names() if recipes.get(name).modules])
def test_a_package_that_is_not_there_is_named_with_what_installs_it(name, monkeypatch):
    for module in recipes.get(name).modules:
        monkeypatch.setitem(sys.modules, module, None)
    program = Program({})
    with pytest.raises(
        MissingDependency, match=f"^{name}: {', '.join(recipes.get(name).modules)} not installed"
    ) as caught:
        parse(name).apply(program, RecipeContext(program))
    assert caught.value.hint == recipes.install_hint(name)
