"""Shared by every test: a cache folder of the test run's own, and the third-party warnings that nobody here can
mend.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import settings

from torchport.system import cache

settings.register_profile(
    "any machine", deadline=None
)  # how long an example takes is the machine's affair, and whoever else uses it
settings.load_profile("any machine")

BENCHMARKS = Path(__file__).parents[1] / "benchmarks"
sys.path += [
    str(BENCHMARKS / "models"),
    str(BENCHMARKS),
]  # the real models, as `import whisper_tiny_en`, and what the scenarios share

# pytest applies these after `filterwarnings = error`, so a warning has to match one to be let through.
KNOWN_NOISE = (
    # torch.export deep-copies its own tree specs
    "ignore:.isinstance.treespec, LeafSpec.. is deprecated:FutureWarning",
    # TorchScript is supported here although it is deprecated upstream
    "ignore:.torch.jit.*is deprecated:DeprecationWarning",
    "ignore:no --weights.*random weights:RuntimeWarning",  # right for most models here, which no training ever saw
)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Files with slow tests first, so that workers who take a file at a time end together."""
    slow = {item.path for item in items if item.get_closest_marker("slow")}
    items.sort(key=lambda item: item.path not in slow)
    for item in items:
        for rule in KNOWN_NOISE:
            item.add_marker(pytest.mark.filterwarnings(rule))


@pytest.fixture(autouse=True, scope="session")
def own_cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The tests neither read nor fill the user's cache, but for models that take minutes to make; nor do they time for
    long.
    """
    base, kept = tmp_path_factory.getbasetemp(), cache.folder()
    folder = (base.parent if "PYTEST_XDIST_WORKER" in os.environ else base) / "cache"  # one for all workers of a run
    with pytest.MonkeyPatch.context() as patch:
        if kept is not None:
            patch.setenv("TORCHPORT_MODELS", str(kept / "models"))
        patch.setenv("TORCHPORT_CACHE", str(folder))
        patch.setenv("TORCHPORT_QUICK", "1")
        yield folder


@pytest.fixture(scope="module")
def untimed() -> Iterator[None]:
    """A deploy in this module takes everything for equally fast: timing is most of a small one, and few tests are about
    it.
    """
    from torchport.timing import Measurement
    from torchport.types import Timing

    one = Measurement(timing=Timing(median=1.0, p90=1.0, noise=0.0, rounds=((1.0,),)))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("torchport.timing.candidates.measure", lambda jobs, **_: {job.key: one for job in jobs})
        yield
