"""Does a server speak the Open Inference Protocol? A client's view of any server, a check for each thing that clients
rely on.
"""

from __future__ import annotations

from .run import conform
from .verdicts import CheckRow, ConformDocument

__all__ = ["CheckRow", "ConformDocument", "conform"]
