"""The command line: one file a verb, loaded only when it is called. Verbs parse, call and print; they hold no logic."""

from __future__ import annotations

import os
import sys
from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ..timing import Timer

VERBS = {
    "batch": "answers of many inputs as rows of a file",
    "bench": "time every variant of a Bundle here",
    "completion": "a script that lets your shell complete commands",
    "conform": "does a server speak the Open Inference Protocol",
    "debug": "the first layer of a variant that leaves the reference",
    "demo": "deploy a real image classifier and name what is in a photo",
    "deploy": "from a trained model to a chosen, verified Bundle",
    "diff": "compare an old Bundle with a new one, as a gate",
    "doctor": "what this machine has, and what to mend",
    "export": "convert a model without choosing: one folder a target",
    "inspect": "what a Bundle is, in ten lines",
    "loadtest": "LoadGen-style scenarios against a Bundle or a server",
    "new": "a package of your own that adds a target or a task",
    "optimize": "deploy with a search: quantise, prune, distil",
    "pack": "a smaller Bundle from a Bundle",
    "plan": "how many replicas, cores and how much memory a rate takes",
    "predict": "answer pictures, texts, sound and more with a Bundle",
    "serve": "answer requests over HTTP and gRPC",
    "targets": "the support matrix: what can be made and run here",
    "tasks": "the tasks, and what can be set of each",
    "verify": "check every file and variant of a Bundle",
}

COMPLETE = "_TORCHPORT_COMPLETE"
"""Environment variable that a shell sets when it asks what may come next."""


def app(verb: str | None) -> Any:
    """A typer application with every verb, of which only the one that is called is loaded."""
    import typer

    made = typer.Typer(
        add_completion=False,
        no_args_is_help=True,
        rich_markup_mode=None,
        pretty_exceptions_enable=False,
        context_settings={"help_option_names": ["-h", "--help"]},
    )

    shown = typer.Option(False, "--version", help="Show the version and exit.", is_eager=True)

    @made.callback(help="From a trained PyTorch model to a verified, optimised, served prediction.")
    def root(version: bool = shown) -> None:
        if version:
            _say_version()
            raise typer.Exit()

    for name, about in VERBS.items():
        made.command(name, help=about)(import_module(f"torchport.cli.{name}").run if name == verb else _not_called)
    return made


def _not_called() -> None:
    """Stands for a verb that is only listed."""


def main(*, ends: bool = True, timer: Timer | None = None) -> None:
    """The entry point of the `torchport` command.

    Args:
        ends: whether the process ends with the call, without the interpreter's teardown: some runtimes crash or wait in
            theirs when the answer is long out. Without it SystemExit is raised, for a process that goes on.
        timer: times in place of the processes that do.
    """
    from .terminal import Left

    try:
        if timer is None:
            _main()
        else:
            from ..timing import timed_by

            with timed_by(timer):
                _main()
    except Left as left:
        if not ends:
            raise
        from ..system.disk import sweep

        sweep()
        os._exit(left.exit_code)


def _main() -> None:
    from . import terminal

    terminal.prepare()
    words = sys.argv[1:]
    if words == ["--version"]:  # without the command line's library: scripts ask often
        _say_version()
        return
    if COMPLETE in os.environ:  # the shell's own words, of which the command's name is the first
        words = os.environ.get("COMP_WORDS", os.environ.get("_TYPER_COMPLETE_ARGS", "")).split()[1:]
    _start(next((word for word in words if not word.startswith("-")), None))


def _say_version() -> None:
    from .. import __version__

    print(f"torchport {__version__}")


def _start(verb: str | None) -> None:
    from ..errors import UsageError, did_you_mean
    from .shared import CLICK, fail, flushed, guarded, misused

    as_json = "--json" in sys.argv
    if COMPLETE in os.environ:
        from typer.completion import completion_init  # type: ignore[attr-defined]  # not in its list of exports

        completion_init()
    elif verb is not None and verb not in VERBS:
        fail(UsageError(f"there is no command '{verb}'", did_you_mean(verb, VERBS)), as_json=as_json)
    with guarded(as_json=as_json):
        try:
            raise SystemExit(flushed(app(verb)(prog_name="torchport", standalone_mode=False) or 0))
        except CLICK as exc:
            misused(exc, as_json=as_json)
