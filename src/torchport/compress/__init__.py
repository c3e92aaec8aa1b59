"""The recipes: one file each. Adding one is its file and a row here; outsiders use the entry point `torchport.recipes`."""

from __future__ import annotations

from ..registry import Entry, Registry
from .base import Recipe

__all__ = ["Recipe", "recipes"]

recipes: Registry[Recipe] = Registry(
    "recipes",
    {
        "fp16": Entry("torchport.compress.fp16:Fp16", "build", "weights as 16-bit floats: half the size"),
        "fp32": Entry("torchport.compress.fp32:Fp32", "build", "as trained"),
    },
)
