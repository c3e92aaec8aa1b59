"""`torchport pack`: a smaller Bundle from a Bundle."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from ..errors import UsageError
from .shared import BundlePath, Json, document, typed, verb

Output = Annotated[Path, typer.Option("--output", "-o", help="The new Bundle.")]
For = Annotated[
    str | None,
    typer.Option(
        "--for", help="Only what runs there (python, server, web, android, ios), without the eager reference."
    ),
]
Keep = Annotated[str, typer.Option(help="chosen, front, all, or comma-separated ids.")]
Golden = Annotated[str | None, typer.Option(help="How many golden items to leave in, or none.")]
Smallest = Annotated[
    bool,
    typer.Option(
        "--smallest", help="Files coded with zstd, which whoever opens the Bundle decodes into the cache folder."
    ),
]
Zip = Annotated[bool, typer.Option("--zip", help="One file instead of a folder.")]


@verb
def run(
    bundle: BundlePath,
    output: Output,
    for_: For = None,
    keep: Keep = "all",
    golden: Golden = None,
    as_zip: Zip = False,
    smallest: Smallest = False,
    as_json: Json = False,
) -> None:
    """A smaller Bundle from a Bundle: fewer variants, no golden vectors, coded files, one file."""
    from .. import figures
    from ..bundle import Bundle
    from ..documents import PackDocument
    from ..jobs.pack import PackOptions, repack, sizes
    from . import tables

    if golden is not None and golden != "none" and not golden.isdigit():
        raise UsageError(f"--golden {golden}: neither a number nor none", "write --golden 2 or --golden none")
    count = None if golden is None else 0 if golden == "none" else int(golden)
    options = PackOptions(
        for_, keep if keep in ("chosen", "front", "all") else tuple(keep.split(",")), count, as_zip, smallest
    )
    with Bundle(bundle) as opened:
        manifest = repack(opened, output, options)
    size, decoded, rows = (
        sum(entry.size for entry in manifest.files),
        sum(entry.content_size for entry in manifest.files),
        sizes(manifest),
    )
    if as_json:
        document(
            PackDocument(
                bundle=str(output),
                variants=tuple(v.id for v in manifest.variants),
                size_bytes=size,
                decoded_bytes=decoded,
                sizes=tuple(rows),
            )
        )
        return
    tables.sizes(rows)
    print(
        f"{output}: {figures.count(len(manifest.variants), 'variant')}, {figures.size(size)} on "
        f"disk{f', {figures.size(decoded)} decoded' if decoded != size else ''}"
    )
    print(f"next:   {typed('torchport', 'verify', output)}")
