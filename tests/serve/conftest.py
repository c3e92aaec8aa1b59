"""Bundles of small models, and a server of them, once for all tests."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from served import Served, deployed, serving


@pytest.fixture(scope="session")
def bundles(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the Bundles simple, colours and identity."""
    return deployed(tmp_path_factory.mktemp("bundles"))


@pytest.fixture(scope="session")
def server(bundles: Path) -> Iterator[Served]:
    """A server of the three Bundles."""
    with serving(bundles) as served:
        yield served
