"""The command line: one file a verb, loaded only when it is called. Verbs parse, call and print; they hold no logic."""

from __future__ import annotations

import io
import sys
from importlib import import_module

VERBS = {
    "bench": "time every variant of a Bundle here, beside the eager model",
    "demo": "deploy a real image classifier and name what is in a photo",
    "deploy": "from a trained model to a chosen, verified Bundle",
    "diff": "the gate between an old Bundle and a new one: accuracy, latency, size, memory, changed answers",
    "doctor": "what this machine has, which targets work, and what to mend",
    "export": "convert a model without choosing: one folder a target",
    "inspect": "the manifest of a Bundle",
    "optimize": "as deploy, with quantisation, pruning and lower precision searched for",
    "pack": "a smaller Bundle from a Bundle: fewer variants, no golden vectors, coded files, one file",
    "predict": "answer pictures, tensors or other raw inputs with a Bundle",
    "targets": "the support matrix: what can be made and run here",
    "tasks": "the tasks, with a runnable example each",
    "verify": "check every file of a Bundle and every variant against its golden vectors",
}


def app(verbs: list[str]) -> object:
    """A typer application with these verbs only."""
    import typer

    made = typer.Typer(add_completion=False, no_args_is_help=True, rich_markup_mode=None, pretty_exceptions_enable=False, context_settings={"help_option_names": ["-h", "--help"]})

    @made.callback(help="From a trained PyTorch model to a verified, optimised, served prediction.")
    def root() -> None:
        pass

    for verb in verbs:
        made.command(verb, help=VERBS[verb])(import_module(f"torchport.cli.{verb}").run)
    return made


def main() -> None:
    """The entry point of the `torchport` command."""
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")  # a label, or the name of a file, need not fit the terminal
    verb = next((word for word in sys.argv[1:] if not word.startswith("-")), None)
    if sys.argv[1:] == ["--version"]:
        from .. import __version__

        print(f"torchport {__version__}")
        return
    app([verb] if verb in VERBS else list(VERBS))()  # type: ignore[operator]
