"""The recipes: one file each. Adding one is its file and a row here; outsiders use the entry point
`torchport.recipes`.
"""

from __future__ import annotations

from ..registry import Entry, Registry
from .base import Recipe

recipes: Registry[Recipe] = Registry(
    "recipes",
    {
        "bf16": Entry("torchport.compress.bf16:Bf16", "build", "arithmetic in bfloat16, where the CPU has it"),
        "bf16_stateless": Entry(
            "torchport.compress.bf16_stateless:Bf16Stateless", "build", "bf16 but in graphs that carry a state"
        ),
        "bn_reestimate": Entry(
            "torchport.compress.bn_reestimate:BnReestimate", "build", "statistics of batch normalisation taken anew"
        ),
        "cluster": Entry(
            "torchport.compress.cluster:Cluster", "build", "a few shared values a layer: a smaller download"
        ),
        "distil": Entry(
            "torchport.compress.distil:Distil",
            "compress",
            "what compression lost, won back from the original's answers",
        ),
        "fp16": Entry("torchport.compress.fp16:Fp16", "build", "weights as 16-bit floats: half the size"),
        "fp32": Entry("torchport.compress.fp32:Fp32", "build", "as trained"),
        "int4_awq": Entry(
            "torchport.compress.int4_awq:Int4Awq",
            "compress",
            "4-bit weights in groups, fitted to calibration data, by the runtime's own quantiser",
        ),
        "int4_gptq": Entry(
            "torchport.compress.int4_gptq:Int4Gptq",
            "compress",
            "4-bit weights in groups, rounded one by one to fit calibration data, by the runtime's own quantiser",
        ),
        "int4_hqq": Entry(
            "torchport.compress.int4_hqq:Int4Hqq",
            "compress",
            "4-bit weights in groups with fitted zeros, by the runtime's own quantiser",
        ),
        "int4_weights": Entry(
            "torchport.compress.int4_weights:Int4Weights",
            "compress",
            "weights as 4-bit integers in groups, by the runtime's own quantiser",
        ),
        "int8_dynamic": Entry(
            "torchport.compress.int8_dynamic:Int8Dynamic",
            "compress",
            "8-bit weights, activations rounded at every call, by the runtime's own quantiser",
        ),
        "int8_mixed": Entry(
            "torchport.compress.int8_mixed:Int8Mixed",
            "compress",
            "as int8_static, but layers that prove sensitive stay floats",
        ),
        "int8_static": Entry(
            "torchport.compress.int8_static:Int8Static",
            "compress",
            "8-bit weights and activations, ranges from calibration data",
        ),
        "int8_weights": Entry(
            "torchport.compress.int8_weights:Int8Weights",
            "compress",
            "weights as 8-bit integers, a scale a channel; arithmetic in floats",
        ),
        "int8_xnnpack": Entry(
            "torchport.compress.int8_xnnpack:Int8Xnnpack",
            "executorch",
            "8-bit weights and activations as XNNPACK on phones takes them, ranges from calibration data",
        ),
        "low_rank": Entry("torchport.compress.low_rank:LowRank", "build", "two thin layers in place of one"),
        "prune": Entry("torchport.compress.prune:Prune", "compress", "whole channels taken out"),
        "qat": Entry(
            "torchport.compress.qat:Qat",
            "compress",
            "8-bit weights and activations, trained with the rounding in place",
        ),
        "sparse": Entry(
            "torchport.compress.sparse:Sparse", "build", "the smallest weights at zero: a smaller download"
        ),
        "sparse_2_4": Entry(
            "torchport.compress.sparse_2_4:Sparse24", "build", "two of every four weights at zero: a smaller download"
        ),
    },
)
