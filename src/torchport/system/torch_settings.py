"""What belongs to the caller: PyTorch's settings and the state of the module that was handed over come back after every
public call.
"""

from __future__ import annotations

import contextlib
import random
import sys
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    import torch


@contextlib.contextmanager
def kept(source: Any = None) -> Iterator[None]:
    """Run a block after which everything is as it was before, however the block ends.

    These come back: the number of threads, the gradient mode, the default dtype, the precision of float32 matrix
    multiplications, the flags of deterministic algorithms, and the random state of PyTorch, numpy and `random`; of a
    module also which parts train and which parameters ask for gradients.
    """
    restore = [
        _random(),
        *(_settings() if "torch" in sys.modules else ()),
        *(_module(source) if hasattr(source, "named_modules") else ()),
    ]
    try:
        yield
    finally:
        for back in restore:
            back()


def _random() -> Callable[[], None]:
    own, numpy = random.getstate(), np.random.get_state()

    def back() -> None:
        random.setstate(own)
        np.random.set_state(numpy)

    return back


def _settings() -> list[Callable[[], None]]:
    import torch

    threads, gradients, dtype = torch.get_num_threads(), torch.is_grad_enabled(), torch.get_default_dtype()
    exact, state = torch.get_float32_matmul_precision(), torch.get_rng_state()
    deterministic, warning = (
        torch.are_deterministic_algorithms_enabled(),
        torch.is_deterministic_algorithms_warn_only_enabled(),
    )

    def back() -> None:
        if torch.get_num_threads() != threads:
            torch.set_num_threads(threads)
        torch.set_grad_enabled(gradients)
        torch.set_default_dtype(dtype)
        torch.set_float32_matmul_precision(exact)
        torch.use_deterministic_algorithms(deterministic, warn_only=warning)
        torch.set_rng_state(state)

    return [back]


def _module(module: torch.nn.Module) -> list[Callable[[], None]]:
    training = [(one, one.training) for _, one in module.named_modules()]
    gradients = [(parameter, parameter.requires_grad) for _, parameter in module.named_parameters()]

    def back() -> None:
        for one, was in training:
            one.training = was
        for parameter, was in gradients:
            parameter.requires_grad_(was)

    return [back]
