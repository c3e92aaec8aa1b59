"""Targets that no real runtime is, each of which needs one thing of the contract: one file each."""

from __future__ import annotations

from torchport.targets.base import Target

from . import ahead, another_cpu, declining, elsewhere, fixed_sizes, unbatched

TOY_TARGETS: tuple[Target, ...] = (
    ahead.Ahead(),
    another_cpu.AnotherCpu(),
    declining.Declining(),
    elsewhere.Elsewhere(),
    fixed_sizes.FixedSizes(),
    unbatched.Unbatched(),
)

PARENTS: tuple[Target, ...] = (ahead.Between(),)
"""Targets that one of these starts from, beside those of the table."""
