"""torchport: from a trained PyTorch model to a verified, optimised, served prediction.

The public names load what they need when they are first used (PEP 562); importing torchport imports neither torch nor
any runtime.
"""

from __future__ import annotations

import os
import sys
from typing import Any

__version__ = "0.1.0"

_PUBLIC = {
    "Predictor": "torchport.predict:Predictor",
    "bench": "torchport.api:bench",
    "capture": "torchport.api:capture",
    "deploy": "torchport.api:deploy",
    "diff": "torchport.api:diff",
    "export": "torchport.api:export",
    "load": "torchport.api:load",
    "optimize": "torchport.api:optimize",
    "verify": "torchport.api:verify",
}

__all__ = ["Predictor", "__version__", "bench", "capture", "deploy", "diff", "export", "load", "optimize", "verify"]


def __getattr__(name: str) -> Any:
    if name not in _PUBLIC:
        raise AttributeError(f"module 'torchport' has no attribute '{name}'")
    from importlib import import_module

    module, _, attribute = _PUBLIC[name].partition(":")
    return getattr(import_module(module), attribute)


def __dir__() -> list[str]:
    return sorted(__all__)


# Two runtimes report to their makers as soon as they are imported, whoever imports them. ONNX Runtime for Linux, which
# also keeps a database of what was run, heeds this variable if it is set before (its own `disable_telemetry_events`
# comes too late); OpenVINO takes a stub of its own where this module is missing.
os.environ["ORT_DISABLE_TELEMETRY"] = "1"
sys.modules.setdefault("openvino_telemetry", None)  # type: ignore[arg-type]
