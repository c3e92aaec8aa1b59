"""`torchport debug`: the first layer of an artefact that leaves the reference."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ..errors import ParityError, UsageError
from . import options
from .shared import Progress, Trust, document, typed

if TYPE_CHECKING:
    from ..jobs.debug import Found
    from ..verification.diverging import DebugDocument

_OWN: dict[str, tuple[Any, Any]] = {
    "variant": (
        Annotated[str | None, typer.Option(help="Of a Bundle: id of the variant; the chosen one if left out.")],
        None,
    ),
    "against": (
        Annotated[str | None, typer.Option(help="Of a Bundle: id of another variant to hold it against.")],
        None,
    ),
    "item": (Annotated[int, typer.Option(help="Number of the golden item, or of the item of --data, from 0.")], 0),
    "trust": (Trust, False),
}

_OF_SOURCES = {option.field for option in options.EXPORT} - {"source", "data", "output"}


@options.taking(options.EXPORT, _OWN)
def run(
    *, variant: str | None, against: str | None, item: int, trust: bool, as_json: bool, verbose: bool, **flags: Any
) -> None:
    """Name the first layer whose value leaves the model, with its module and line.

    Of a variant of a Bundle, on a golden item or on the file named by --data; or of a model on a target, or on two.
    """
    import msgspec

    from ..jobs.reproduce import reproduce
    from ..system.disk import temporary

    source = flags["source"]
    output = Path(flags["output"]) if flags["output"] else None
    with temporary() as scratch, Progress() as progress:

        def tell(row: str) -> None:
            progress.tell("debug", row)

        if source and (Path(source).suffix == ".tport" or (Path(source) / "torchport.json").is_file()):
            said, found = _of_bundle(flags, variant, against, item, trust, tell)
            again = ["--variant", said.variant, *(["--against", against] if against else [])]
            files = reproduce(said, found, output) if output else []
        else:
            from ..deployment.request import Request
            from ..jobs.debug_source import debug_source

            if variant or against:
                raise UsageError("--variant and --against are about a Bundle", "name targets with --targets")
            flags["output"] = flags["output"] or str(scratch / "out")
            request = Request(**options.resolve(flags), log=options.log(verbose=verbose))
            said, found = debug_source(request, scratch / "made", item=item, tell=tell)
            again = []
            files = reproduce(said, found, output) if output else []
    if output is not None:
        said = msgspec.structs.replace(said, folder=str(output))
    if as_json:
        document(said)
    else:
        print(said.said)
        if "show.py" in files:
            print(f"next:   cd {typed(output)} && python show.py")
        elif output is None and found is not None:
            print(f"next:   {typed('torchport', 'debug', source, *again, '-o', 'found')}")
    if said.cause != "none":
        raise ParityError(said.said, "see report.html there" if output else "give -o FOLDER for what reproduces it")


def _of_bundle(
    flags: dict[str, Any],
    variant: str | None,
    against: str | None,
    item: int,
    trust: bool,
    tell: Callable[[str], None],
) -> tuple[DebugDocument, Found | None]:
    from ..bundle import Bundle
    from ..jobs.debug import debug

    over = [name for name, value in flags.items() if value not in (None, [], ()) and name in _OF_SOURCES]
    if over:
        raise UsageError(
            f"'{over[0]}' is about a source, and {flags['source']} is a Bundle", "leave it out, or name the source"
        )
    data = flags["data"]
    with Bundle(Path(flags["source"])) as opened:
        return debug(
            opened,
            variant=variant,
            against=against,
            item=item if data is None else Path(data),
            trusted=trust,
            tell=tell,
        )
