"""Shared by every test: a cache folder of the test run's own, and the third-party warnings that nobody here can mend."""

from __future__ import annotations

from pathlib import Path

import pytest

# pytest applies these after `filterwarnings = error`, so a warning has to match one to be let through.
KNOWN_NOISE = (
    "ignore:.isinstance.treespec, LeafSpec.. is deprecated:FutureWarning",  # torch.export deep-copies its own tree specs
    "ignore:.torch.jit.*is deprecated:DeprecationWarning",  # TorchScript is supported here although it is deprecated upstream
)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        for rule in KNOWN_NOISE:
            item.add_marker(pytest.mark.filterwarnings(rule))


@pytest.fixture(autouse=True, scope="session")
def own_cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The tests neither read nor fill the user's cache."""
    folder = tmp_path_factory.mktemp("cache")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TORCHPORT_CACHE", str(folder))
        yield folder
