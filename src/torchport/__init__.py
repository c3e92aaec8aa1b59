"""torchport: from a trained PyTorch model to a verified, optimised, served prediction.

The public names load what they need when they are first used (PEP 562); importing torchport imports neither torch nor
any runtime.
"""

from __future__ import annotations

from typing import Any

__version__ = "0.1.0"

_PUBLIC = {
    "Predictor": "torchport.predict:Predictor",
    "bench": "torchport.api:bench",
    "capture": "torchport.api:capture",
    "deploy": "torchport.api:deploy",
    "export": "torchport.api:export",
    "load": "torchport.api:load",
    "verify": "torchport.api:verify",
}

__all__ = ["Predictor", "__version__", "bench", "capture", "deploy", "export", "load", "verify"]


def __getattr__(name: str) -> Any:
    if name not in _PUBLIC:
        raise AttributeError(f"module 'torchport' has no attribute '{name}'")
    from importlib import import_module

    module, _, attribute = _PUBLIC[name].partition(":")
    return getattr(import_module(module), attribute)
