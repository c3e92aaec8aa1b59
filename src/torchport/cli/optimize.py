"""`torchport optimize`: as `deploy`, with the recipes searched for."""

from __future__ import annotations

import functools
from typing import Any

from . import deploy


@functools.wraps(deploy.run)
def run(*args: Any, **flags: Any) -> None:
    """Every flag of `deploy`; `--recipes` limits the search to what it names."""
    from ..deployment.options import SEARCH

    deploy.run(*args, **{**flags, "recipes": flags.get("recipes") or SEARCH})
