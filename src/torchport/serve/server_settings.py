"""What clients may read and set of a running server: logging; tracing can be read only."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Any

from ..errors import BadInput

LOG = logging.getLogger("torchport")

TRACE = {"trace_level": ["OFF"], "trace_rate": "1000", "trace_count": "-1", "log_frequency": "0", "trace_mode": "off"}
"""Requests are not traced by the protocol's own means: OpenTelemetry is set when the server starts."""

LOG_KINDS: dict[str, type] = {
    "log_error": bool,
    "log_warning": bool,
    "log_info": bool,
    "log_verbose_level": int,
    "log_format": str,
    "log_file": str,
}
"""Log setting -> what it is."""


class LogSettings:
    """The protocol's settings of the log; those that decide what is logged take effect at once."""

    def __init__(self) -> None:
        self._now: dict[str, Any] = {
            "log_file": "",
            "log_info": LOG.isEnabledFor(logging.INFO),
            "log_warning": LOG.isEnabledFor(logging.WARNING),
            "log_error": True,
            "log_verbose_level": 0,
            "log_format": "default",
        }

    def read(self) -> dict[str, Any]:
        """Every setting by its name."""
        return dict(self._now)

    def change(self, given: Mapping[str, Any]) -> dict[str, Any]:
        """Change some; all of them afterwards.

        Raises:
            BadInput: there is no such setting, or it cannot be of that value.
        """
        for name, value in given.items():
            kind = LOG_KINDS.get(name)
            if kind is None:
                raise BadInput(f"there is no log setting '{name[:60]}'", f"there are {', '.join(LOG_KINDS)}")
            if type(value) is not kind or (isinstance(value, int) and not 0 <= value < 1 << 32):
                raise BadInput(f"{name} is {str(value)[:60]!r}", f"it is a {kind.__name__}")
            if name in ("log_file", "log_format") and value != self._now[name]:
                raise BadInput(f"{name} cannot be changed while the server runs", "it is set when the server starts")
        self._now |= given
        LOG.setLevel(self._level())
        return self.read()

    def _level(self) -> int:
        if self._now["log_verbose_level"]:
            return logging.DEBUG
        order = {"log_info": logging.INFO, "log_warning": logging.WARNING, "log_error": logging.ERROR}
        return next((level for name, level in order.items() if self._now[name]), logging.CRITICAL)


def trace(given: Mapping[str, Any]) -> dict[str, Any]:
    """The settings of tracing.

    Raises:
        BadInput: they are to be changed.
    """
    for name, value in given.items():
        if name not in TRACE:
            raise BadInput(f"there is no trace setting '{str(name)[:60]}'", f"there are {', '.join(TRACE)}")
        if value is not None and value != TRACE[name]:
            raise BadInput(f"{name} cannot be changed while the server runs", "tracing is set when the server starts")
    return dict(TRACE)
