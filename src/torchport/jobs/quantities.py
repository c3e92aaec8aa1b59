"""Times and rates as they are typed: `15ms`, `2s`, `50000/s`."""

from __future__ import annotations

import re

from ..errors import UsageError

_NUMBER = r"\s*(\d+(?:\.\d+)?)\s*"
_TIME = re.compile(_NUMBER + r"(us|ms|s)\s*")
_RATE = re.compile(_NUMBER + r"(?:/\s*(s|min|h))?\s*")
_MS = {"us": 1e-3, "ms": 1.0, "s": 1e3}
_S = {"s": 1.0, "min": 60.0, "h": 3600.0, None: 1.0}


def milliseconds(text: str, option: str) -> float:
    """A time in milliseconds, greater than 0.

    Raises:
        UsageError: it is none.
    """
    found = _TIME.fullmatch(text)
    if not found or not float(found[1]):
        raise UsageError(f"{option} {text!r} is no time", f"write {option} 15ms, or 2s")
    return float(found[1]) * _MS[found[2]]


def per_second(text: str, option: str) -> float:
    """A rate in answers a second, greater than 0.

    Raises:
        UsageError: it is none.
    """
    found = _RATE.fullmatch(text)
    if not found or not float(found[1]):
        raise UsageError(f"{option} {text!r} is no rate", f"write {option} 500/s, or 30000/min")
    return float(found[1]) / _S[found[2]]
