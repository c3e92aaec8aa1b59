"""ONNX Runtime's own quantisers."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from ...errors import UnsupportedByTarget
from ...system import machine
from ...system.disk import temporary
from ...system.noise import quiet

if TYPE_CHECKING:
    import onnx

    from ...frontend.program import GraphProgram


def strip(message: Any) -> None:
    """Clear, at every depth of a protobuf message, what holds source paths, stack traces and symbol numbers."""
    for field, value in message.ListFields():
        if field.name in ("doc_string", "metadata_props", "value_info"):
            message.ClearField(field.name)
        elif field.message_type:
            for child in [value] if hasattr(value, "ListFields") else value:
                strip(child)


def matmuls(model: onnx.ModelProto) -> onnx.ModelProto:
    """The model with MatMul and Add in place of Gemm, as a layer on rows of a matrix is exported: the quantisers take
    no other product.
    """
    from onnxruntime.quantization.onnx_model import ONNXModel

    changed = ONNXModel(model)
    changed.replace_gemm_with_matmul()
    changed.clean_initializers()
    made: onnx.ModelProto = changed.model
    return made


def int8_dynamic(model: onnx.ModelProto, graph: GraphProgram, group: int) -> onnx.ModelProto:
    """Matrix multiplications with constant weights in 8-bit integers; activations get their range anew at every call.

    Seven bits where the CPU has no VNNI: the sum of two products of 8 bits saturates.
    """
    import onnx
    from onnxruntime.quantization import QuantType, quantize_dynamic

    with temporary() as folder:
        made = folder / "quantised.onnx"
        quantize_dynamic(
            model,
            made,
            op_types_to_quantize=["MatMul", "Gather", "Attention", "LSTM"],
            per_channel=True,
            reduce_range=not any("vnni" in name.lower() for name in machine.describe().instruction_sets),
            weight_type=QuantType.QInt8,
            extra_options={"MatMulConstBOnly": True},
        )
        return changed(
            onnx.load(made), {"DynamicQuantizeLinear", "DequantizeLinear", "DynamicQuantizeLSTM", "QAttention"}, graph
        )


def int4_weights(model: onnx.ModelProto, graph: GraphProgram, group: int) -> onnx.ModelProto:
    """Weights of matrix multiplications and embedding tables as 4-bit integers in groups with a scale and a zero each;
    matrix multiplications with 8-bit activations.
    """
    from onnxruntime.quantization.matmul_nbits_quantizer import MatMulNBitsQuantizer

    quantizer = MatMulNBitsQuantizer(
        model, block_size=group, is_symmetric=False, accuracy_level=4, op_types_to_quantize=("MatMul", "Gather")
    )
    quantizer.process()
    return changed(quantizer.model.model, {"MatMulNBits", "GatherBlockQuantized"}, graph)


def int4_hqq(model: onnx.ModelProto, graph: GraphProgram, group: int) -> onnx.ModelProto:
    """Weights of matrix multiplications as 4-bit integers in groups, whose zeros are fitted."""
    from onnxruntime.quantization.matmul_nbits_quantizer import HQQWeightOnlyQuantConfig, MatMulNBitsQuantizer

    quantizer = MatMulNBitsQuantizer(
        model, algo_config=HQQWeightOnlyQuantConfig(block_size=group, op_types_to_quantize=("MatMul",))
    )
    with quiet(("The given NumPy array is not writable", UserWarning)):  # it only reads it
        quantizer.process()
    return changed(quantizer.model.model, {"MatMulNBits"}, graph)


def changed(model: onnx.ModelProto, operators: set[str], graph: GraphProgram) -> onnx.ModelProto:
    """The quantised model, where anything in it was quantised.

    Raises:
        UnsupportedByTarget: the graph has nothing that this quantiser takes.
    """
    if not any(node.op_type in operators for node in model.graph.node):
        raise UnsupportedByTarget(
            f"ONNX Runtime's quantiser finds nothing to quantise in graph '{graph.name}': it takes matrix "
            f"multiplications with "
            "constant weights",
            "try int8_weights",
        )
    strip(model)
    return model


QUANTISERS: dict[str, Callable[[onnx.ModelProto, GraphProgram, int], onnx.ModelProto]] = {
    "int8_dynamic": int8_dynamic,
    "int4_weights": int4_weights,
    "int4_hqq": int4_hqq,
}
"""ONNX Runtime's own quantisers, by the precision that asks for them; the last argument is how many weights share a
scale.
"""
