"""A target that converts here and runs on phones only: Core ML."""

from __future__ import annotations

from torchport.targets.eager import Eager


class Elsewhere(Eager):
    """As PyTorch, but for iOS."""

    name = "elsewhere"
    reference = False
    executes_code = False
    profiles = ("ios",)
    systems = ("ios",)
