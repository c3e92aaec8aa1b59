"""Shared by every test: a cache folder of the test run's own, and the third-party warnings that nobody here can
mend.
"""

from __future__ import annotations

import gc
import os
import sys
import warnings
from collections import Counter
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path

import pytest
from hypothesis import settings

import warm
from torchport.cli.terminal import SELDOM
from torchport.system import cache
from torchport.testing import millisecond
from torchport.timing import interleave, timed_by

settings.register_profile(
    "any machine", deadline=None
)  # how long an example takes is the machine's affair, and whoever else uses it
settings.load_profile("any machine")

BENCHMARKS = Path(__file__).parents[1] / "benchmarks"
sys.path += [
    str(BENCHMARKS / "models"),
    str(BENCHMARKS),
]  # the real models, as `import whisper_tiny_en`, and what the scenarios share

MANY = 500
"""With so many tests it pays to import in each worker what every forked child would import again."""

# Two workers and their children share the cores: threads that wait for others sleep, rather than take these the time.
os.environ.setdefault("OMP_WAIT_POLICY", "passive")

LONG = "TORCHPORT_LONG"
"""Environment variable: 1 runs the tests marked `long` too."""

NOT_OURS = ("TORCHPORT_START", "TORCHPORT_DEBUG", "COLUMNS", "LINES", "FORCE_COLOR", "NO_COLOR")
"""Environment variables with which a user changes what torchport does or prints: no test is about the caller's."""

# pytest applies these after `filterwarnings = error`, so a warning has to match one to be let through.
KNOWN_NOISE = (
    # torch.export deep-copies its own tree specs
    "ignore:.isinstance.treespec, LeafSpec.. is deprecated:FutureWarning",
    # TorchScript is supported here although it is deprecated upstream
    "ignore:.torch.jit.*is deprecated:DeprecationWarning",
    "ignore:no --weights.*random weights:RuntimeWarning",  # right for most models here, which no training ever saw
)


def pytest_configure() -> None:
    """The collector of cycles works as seldom as it does in the command line."""
    gc.set_threshold(*SELDOM)


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave out what is long, unless it is asked for; files with the most slow tests first, so that workers who take a
    file at a time end together.
    """
    if os.environ.get(LONG, "0") in ("", "0"):
        long = [item for item in items if item.get_closest_marker("long")]
        items[:] = [item for item in items if not item.get_closest_marker("long")]
        config.hook.pytest_deselected(items=long)
    if len(items) > MANY and find_spec("torch"):
        with warnings.catch_warnings(action="ignore"):
            warm.prepare()
    slow = Counter(item.path for item in items if item.get_closest_marker("slow"))
    items.sort(key=lambda item: -slow[item.path])
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
        for name in NOT_OURS:
            patch.delenv(name, raising=False)
        yield folder


@pytest.fixture(autouse=True, scope="session")
def everything_takes_a_millisecond() -> Iterator[None]:
    """A deploy of the tests takes everything for equally fast: timing is most of a small one, and few tests are about
    it; those ask for `timed`.
    """
    with timed_by(millisecond):
        yield


@pytest.fixture(scope="module")
def timed() -> Iterator[None]:
    """Within this module everything is timed, in processes of its own."""
    with timed_by(interleave.measure):
        yield
