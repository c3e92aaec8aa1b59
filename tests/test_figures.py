"""One way to write a figure: the same bytes, milliseconds and fractions read the same in tables, budgets and
reports.
"""

import ast
import itertools
import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from torchport import figures


@pytest.mark.parametrize(
    ("count", "text"),
    [
        (0, "0 B"),
        (999, "999 B"),
        (4200, "4.2 kB"),
        (500_000, "500 kB"),
        (999_499, "999 kB"),
        (999_600, "1 MB"),
        (18_700_000, "18.7 MB"),
        (1_500_000_000, "1.5 GB"),
        (None, figures.DASH),
    ],
)
def test_sizes(count, text):
    assert figures.size(count) == text


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0, "0 ms"),
        (1e-6, "0.001 us"),
        (0.0213, "0.0213 ms"),
        (5.716, "5.72 ms"),
        (10.0, "10 ms"),
        (9.996, "10 ms"),
        (1250, "1250 ms"),
        (98765.4, "98765 ms"),
        (None, figures.DASH),
    ],
)
def test_times(value, text):
    assert figures.milliseconds(value) == text


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0.0, "0 %"),
        (0.00904, "0.904 %"),
        (0.85, "85 %"),
        (0.995, "99.5 %"),
        (0.99999, "99.99 %"),
        (1.0, "100 %"),
        (None, figures.DASH),
    ],
)
def test_fractions_and_less_than_all_is_never_100_percent(value, text):
    assert figures.percent(value) == text


def test_differences_have_a_sign():
    assert figures.interval(-0.161, 0.112) == "\N{MINUS SIGN}16.1 .. +11.2 pt"
    assert figures.points(0.01) == "1 point" and figures.points(0.015) == "1.5 points"


@given(st.floats(min_value=1e-9, max_value=1e15))
def test_no_figure_has_an_exponent_and_each_is_within_half_a_percent(value):
    for text in (figures.number(value), figures.size(value), figures.milliseconds(value)):
        assert re.fullmatch(r"[\d.]+( [kMG]?B| ms| us)?", text), text
    assert float(figures.number(value)) == pytest.approx(value, rel=5e-3)


def test_a_figure_with_a_unit_is_written_in_one_place() -> None:
    """No module formats milliseconds, bytes, decibels, ratios or shares for itself; a task's own lines may."""
    units = re.compile(r"^(?:x\b| (?:ms|us|[kMG]B|[KMG]iB|dB|%|points?\b|pt\b))")
    source = Path(figures.__file__).parent
    found = []
    for path in sorted(source.rglob("*.py")):
        if path.name == "figures.py" or path.parent.name == "tasks":
            continue
        texts = [node for node in ast.walk(ast.parse(path.read_text("utf-8"))) if isinstance(node, ast.JoinedStr)]
        found += [
            f"{path.relative_to(source)}:{value.lineno}: {ast.unparse(value)}"
            for text in texts
            for value, after in itertools.pairwise(text.values)
            if isinstance(value, ast.FormattedValue) and value.format_spec and isinstance(after, ast.Constant)
            if units.match(str(after.value)) or ast.unparse(value).endswith("%}'")
        ]
    assert found == []


@pytest.mark.parametrize(
    ("written", "text"),
    [
        (figures.decibels(25.63), "25.6 dB"),
        (figures.decibels(101.2), "101 dB"),
        (figures.seconds(0.5), "0.5 s"),
        (figures.seconds(900), "900 s"),
        (figures.multiple(654.45), "654x"),
        (figures.multiple(1250.0), "1250x"),
        (figures.change(2.0, 1.0), "-50.0 %"),
        (figures.percent(0.98951, 2), "98.95 %"),
        (figures.percent(0.99999, 2), "99.99 %"),
    ],
)
def test_other_figures(written: str, text: str) -> None:
    assert written == text
