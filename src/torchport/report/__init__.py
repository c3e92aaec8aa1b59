"""The report of a deploy: one self-contained HTML file, made from values that deploy already has.

`write(path, ReportData(...))` is all that a caller needs. Nothing here measures, decides or opens a model.
"""

from __future__ import annotations

from .data import Answer, PictureRow, ReportData, Skipped
from .page import render, write

__all__ = ["Answer", "PictureRow", "ReportData", "Skipped", "render", "write"]
