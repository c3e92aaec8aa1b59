"""The frozen, JSON-able values that pass between stages. Nothing here imports more than msgspec.

Arrays travel as `dict[str, numpy.ndarray]` keyed by the names fixed at capture; everything else that crosses a stage
boundary is one of these types.
"""

from __future__ import annotations

from .artifacts import (
    Artifact,
    Bound,
    BuiltFor,
    FixedBatch,
    GraphFile,
    Signature,
    TensorIO,
    TensorSpec,
    Used,
)
from .base import IMPORTS, MOST_THREADS, PLAIN, Value
from .chain import Levels, Step
from .results import (
    Accuracy,
    Budget,
    Candidate,
    CandidateStatus,
    Choice,
    Distance,
    FailedAt,
    Met,
    OutputParity,
    Parity,
    Reference,
    Timing,
    status_word,
)

__all__ = [
    "IMPORTS",
    "MOST_THREADS",
    "PLAIN",
    "Accuracy",
    "Artifact",
    "Bound",
    "Budget",
    "BuiltFor",
    "Candidate",
    "CandidateStatus",
    "Choice",
    "Distance",
    "FailedAt",
    "FixedBatch",
    "GraphFile",
    "Levels",
    "Met",
    "OutputParity",
    "Parity",
    "Reference",
    "Signature",
    "Step",
    "TensorIO",
    "TensorSpec",
    "Timing",
    "Used",
    "Value",
    "status_word",
]
