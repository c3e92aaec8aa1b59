"""What every value is built on, and the words that all stages share."""

from __future__ import annotations

import msgspec

PLAIN = "fp32"
"""The recipe, and the precision, of a model as it was trained."""

MOST_THREADS = 1024
"""The greatest number of threads that a runtime is asked to start."""

IMPORTS = ("torchao.quantization.pt2e",)
"""The only modules that an artefact may ask to be imported before it is opened: they define operators of quantised
programs.
"""


class Value(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=False):
    """Base of every value below: immutable, built by keyword, strict when decoded."""
