"""A slice of `benchmarks/zoo`: architectures of others answer right at sizes that deploying never tries."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

sys.path.append(str(Path(__file__).parents[1] / "benchmarks" / "zoo"))
sys.path.append(str(Path(__file__).parents[1] / "benchmarks"))

from architecture import PACKAGES
from cells import ours
from table import draw, summary
from zoo import SLICE, ZOO


@pytest.fixture(scope="module")
def exporter() -> None:
    """Imported once, for every child that is forked to export."""
    import onnxscript
    import torch.onnx._internal.exporter  # noqa: F401

    assert onnxscript


@pytest.mark.slow
@pytest.mark.parametrize("name", SLICE)
@pytest.mark.usefixtures("exporter")
def test_an_architecture_is_right(name: str) -> None:
    if name.startswith("timm_") and not PACKAGES.is_dir():
        pytest.skip("`make zoo` installs the package that it comes from")
    (cell,) = ours(name, ZOO[name], ["onnx"])
    assert (cell.status, cell.diagnosis) == ("ok", "")
    assert cell.max_rel is not None and cell.max_rel <= 1e-3


def test_the_table_counts_and_names_what_is_below_the_plain_exporter() -> None:
    cells = [
        {"model": "a", "target": "onnx", "status": "ok", "diagnosis": "", "plain": "failed: <no>"},
        {"model": "b", "target": "onnx", "status": "failed", "diagnosis": "no way", "plain": "ok"},
    ]
    assert "below the plain exporter: b on onnx" in summary(cells)
    assert draw(cells).count("<title>") == 2 and "&lt;no&gt;" in draw(cells)
