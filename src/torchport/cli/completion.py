"""`torchport completion`: what a shell runs to complete verbs, options and names."""

from __future__ import annotations

from typing import Annotated

import typer

from ..errors import UsageError, did_you_mean
from . import COMPLETE
from .shared import Json, document, verb

SHELLS = ("bash", "fish", "powershell", "zsh")

Shell = Annotated[
    str,
    typer.Argument(
        metavar="SHELL",
        help=f"{', '.join(SHELLS[:-1])} or {SHELLS[-1]}.",
        autocompletion=lambda incomplete: [one for one in SHELLS if one.startswith(incomplete)],
    ),
]


@verb
def run(shell: Shell, as_json: Json = False) -> None:
    """Print what a shell runs to complete verbs, options and names, as in: eval "$(torchport completion bash)"."""
    from typer.completion import get_completion_script  # type: ignore[attr-defined]  # not in its list of exports

    if shell not in SHELLS:
        raise UsageError(f"there is no completion for the shell '{shell}'", did_you_mean(shell, SHELLS))
    script = get_completion_script(prog_name="torchport", complete_var=COMPLETE, shell=shell)
    if as_json:
        from ..documents import CompletionDocument

        document(CompletionDocument(shell=shell, script=script))
    else:
        print(script)
