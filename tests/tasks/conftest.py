"""Shared by the tests of tasks: deploys that time nothing, where timing is not the matter."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from torchport.bench import Measurement
from torchport.types import Timing

QUICK = Measurement(timing=Timing(median=1.0, p90=1.0, noise=0.0, rounds=((1.0,),)))


@pytest.fixture(scope="module")
def untimed() -> Iterator[None]:
    """A deploy in this module takes everything for equally fast."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("torchport.measure.measure", lambda jobs, **_: {job.key: QUICK for job in jobs})
        yield
