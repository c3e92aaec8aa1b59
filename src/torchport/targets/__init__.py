"""The targets: one file each, both halves (`export` and `open`). `ls targets` is the support matrix.

Adding one is its file, a row here and an extra in pyproject.toml; outsiders use the entry point `torchport.targets`.
"""

from __future__ import annotations

from ..registry import Entry, Registry
from .base import Target
from .shared.runner import Runner

__all__ = ["Runner", "Target", "targets"]

targets: Registry[Target] = Registry(
    "targets",
    {
        "aotinductor": Entry(
            "torchport.targets.aotinductor:AotInductor",
            "build",
            "AOTInductor .pt2: native code for this kind of CPU, where PyTorch itself is the runtime",
        ),
        "aotinductor_portable": Entry(
            "torchport.targets.aotinductor_portable:Portable",
            "build",
            "AOTInductor .pt2 for most CPUs of this architecture (AVX2 or NEON)",
        ),
        "coreai": Entry(
            "torchport.targets.coreai:CoreAi",
            "coreai",
            "Core AI .aimodel: Apple's systems of 2026 on, also run on Linux",
        ),
        "coreml": Entry(
            "torchport.targets.coreml:CoreMl", "coreml", "Core ML .mlpackage: made anywhere, run by macOS and iOS"
        ),
        "eager": Entry(
            "torchport.targets.eager:Eager",
            "build",
            "eager PyTorch: the reference that every other target is held against",
        ),
        "executorch": Entry(
            "torchport.targets.executorch:ExecuTorch",
            "executorch",
            "ExecuTorch .pte with the XNNPACK delegate: phones and embedded",
        ),
        "litert": Entry(
            "torchport.targets.litert:LiteRt", "litert", "LiteRT .tflite: Android, iOS and embedded systems"
        ),
        "mnn": Entry("torchport.targets.mnn:Mnn", "mnn", "MNN .mnn: phones and embedded, CPUs of every kind"),
        "mobile": Entry(
            "torchport.targets.mobile:Mobile",
            "build",
            "PyTorch Mobile .ptl for apps that still carry the lite interpreter",
        ),
        "ncnn": Entry("torchport.targets.ncnn:Ncnn", "ncnn", "ncnn .param: phones, on their CPUs"),
        "onnx": Entry(
            "torchport.targets.onnx:Onnx", "onnx", "ONNX, run by ONNX Runtime: servers, desktops, browsers, phones"
        ),
        "openvino": Entry(
            "torchport.targets.openvino:OpenVino", "openvino", "OpenVINO IR: Intel and other x86 CPUs, Intel GPUs"
        ),
        "pt2": Entry("torchport.targets.pt2:Pt2", "build", "torch.export program: where PyTorch itself is the runtime"),
        "torchscript": Entry(
            "torchport.targets.torchscript:TorchScript",
            "build",
            "TorchScript .pt: LibTorch and older PyTorch (deprecated upstream)",
        ),
    },
)
