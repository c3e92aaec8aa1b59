"""Which Bundles were made on this machine: those may run targets that execute code without being asked for
`--trust`.
"""

from __future__ import annotations

from pathlib import Path

from ..errors import BundleError
from ..system import cache
from ..targets import Target
from .reader import Bundle


def remember(digest: str) -> None:
    """Note that the Bundle whose manifest has this sha256 was made here; without a cache folder nothing is noted."""
    folder = cache.folder()
    if folder is not None:
        try:
            (folder / "made-here").mkdir(parents=True, exist_ok=True)
            (folder / "made-here" / digest).touch()
        except OSError:
            return


def remember_path(path: Path) -> None:
    """Note that the Bundle at this path was just made here."""
    with Bundle(path) as bundle:
        remember(bundle.digest)


def made_here(digest: str) -> bool:
    """Whether that Bundle was made by this user on this machine."""
    folder = cache.folder()
    return folder is not None and (folder / "made-here" / digest).is_file()


def require(bundle: Bundle, target: Target, variant: str, trust: bool) -> None:
    """Refuse a variant that executes code from elsewhere.

    Raises:
        BundleError: the target executes code, the Bundle was not made here, and `trust` is not given.
    """
    if target.executes_code and not trust and not made_here(bundle.digest):
        raise BundleError(
            f"{bundle.path.name}: variant {variant} can run code of whoever made it, and it was not made here",
            "add --trust if you trust its maker, or use another variant",
        )
