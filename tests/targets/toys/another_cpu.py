"""A target that compiles for a CPU that is not here: AOTInductor's native code on an older machine."""

from __future__ import annotations

from torchport.targets.base import ExportOptions
from torchport.targets.eager import Eager
from torchport.types import BuiltFor


class AnotherCpu(Eager):
    """As PyTorch, but compiled for instructions that no CPU has."""

    name = "another_cpu"
    reference = False
    executes_code = False
    profiles = ("python",)

    def built_for(self, options: ExportOptions) -> BuiltFor:
        """A CPU that is not this one."""
        return BuiltFor(instruction_sets=("avx4096",))
