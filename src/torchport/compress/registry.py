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
            "torchport.compress.bf16_stateless:Bf16Stateless", "build", "bf16, except in graphs that carry a state"
        ),
        "bn_reestimate": Entry(
            "torchport.compress.bn_reestimate:BnReestimate", "build", "batch-normalisation statistics estimated again"
        ),
        "cluster": Entry(
            "torchport.compress.cluster:Cluster",
            "build",
            "weight clustering, a few shared values a layer: a smaller download",
        ),
        "distil": Entry(
            "torchport.compress.distil:Distil",
            "compress",
            "knowledge distillation: training on the original's answers recovers what compression lost",
        ),
        "fp16": Entry("torchport.compress.fp16:Fp16", "build", "weights as 16-bit floats: half the size"),
        "fp32": Entry("torchport.compress.fp32:Fp32", "build", "as trained"),
        "int4_awq": Entry(
            "torchport.compress.int4_awq:Int4Awq",
            "compress",
            "AWQ: 4-bit weights in groups, fitted to calibration data, by the runtime's own quantiser",
        ),
        "int4_gptq": Entry(
            "torchport.compress.int4_gptq:Int4Gptq",
            "compress",
            "GPTQ: 4-bit weights in groups, rounded one by one to fit calibration data, by the runtime's own quantiser",
        ),
        "int4_hqq": Entry(
            "torchport.compress.int4_hqq:Int4Hqq",
            "compress",
            "HQQ: 4-bit weights in groups with fitted zero points, by the runtime's own quantiser",
        ),
        "int4_weights": Entry(
            "torchport.compress.int4_weights:Int4Weights",
            "compress",
            "4-bit weights in groups, by the runtime's own quantiser",
        ),
        "int8_dynamic": Entry(
            "torchport.compress.int8_dynamic:Int8Dynamic",
            "compress",
            "dynamic quantisation: 8-bit weights, activations quantised at every call, by the runtime's own quantiser",
        ),
        "int8_mixed": Entry(
            "torchport.compress.int8_mixed:Int8Mixed",
            "compress",
            "as int8_static, but the layers most sensitive to it stay in float32",
        ),
        "int8_static": Entry(
            "torchport.compress.int8_static:Int8Static",
            "compress",
            "static quantisation: 8-bit weights and activations, ranges from calibration data",
        ),
        "int8_weights": Entry(
            "torchport.compress.int8_weights:Int8Weights",
            "compress",
            "8-bit weights, a scale a channel; arithmetic in float32",
        ),
        "int8_xnnpack": Entry(
            "torchport.compress.int8_xnnpack:Int8Xnnpack",
            "executorch",
            "static quantisation for XNNPACK on phones: 8-bit weights and activations, ranges from calibration data",
        ),
        "low_rank": Entry(
            "torchport.compress.low_rank:LowRank", "build", "low-rank factorisation: two small layers in place of one"
        ),
        "prune": Entry("torchport.compress.prune:Prune", "compress", "structured pruning: whole channels removed"),
        "qat": Entry(
            "torchport.compress.qat:Qat",
            "compress",
            "quantisation-aware training: 8-bit weights and activations, trained with the rounding in place",
        ),
        "sparse": Entry(
            "torchport.compress.sparse:Sparse",
            "build",
            "unstructured pruning, the smallest weights at zero: a smaller download",
        ),
        "sparse_2_4": Entry(
            "torchport.compress.sparse_2_4:Sparse24",
            "build",
            "2:4 sparsity, two of every four weights at zero: a smaller download",
        ),
    },
)
