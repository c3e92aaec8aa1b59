"""The recipes: one file each. Adding one is its file and a row here; outsiders use the entry point `torchport.recipes`."""

from __future__ import annotations

from ..registry import Entry, Registry
from .base import Recipe

recipes: Registry[Recipe] = Registry(
    "recipes",
    {
        "bf16": Entry("torchport.compress.bf16:Bf16", "build", "arithmetic in 16-bit brain floats, where the CPU has them"),
        "distil": Entry("torchport.compress.distil:Distil", "compress", "what compression lost, won back from the original's answers"),
        "fp16": Entry("torchport.compress.fp16:Fp16", "build", "weights as 16-bit floats: half the size"),
        "fp32": Entry("torchport.compress.fp32:Fp32", "build", "as trained"),
        "int4_weights": Entry("torchport.compress.int4_weights:Int4Weights", "compress", "weights as 4-bit integers in groups, by the runtime's own quantiser"),
        "int8_dynamic": Entry("torchport.compress.int8_dynamic:Int8Dynamic", "compress", "8-bit weights, activations rounded at every call, by the runtime's own quantiser"),
        "int8_weights": Entry("torchport.compress.int8_weights:Int8Weights", "compress", "weights as 8-bit integers, a scale a channel; arithmetic in floats"),
        "prune": Entry("torchport.compress.prune:Prune", "compress", "whole channels taken out"),
    },
)
