"""`torchport inspect`: the manifest of a Bundle."""

from __future__ import annotations

from .shared import BundlePath, Json, document, verb


@verb
def run(bundle: BundlePath, as_json: Json = False) -> None:
    """The manifest of a Bundle."""
    from ..bundle import Bundle, readme

    with Bundle(bundle) as opened:
        if as_json:
            document(opened.manifest)
        else:
            print(readme.text(opened.manifest))
            print(f"next:   torchport verify {bundle}")
