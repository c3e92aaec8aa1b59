"""`torchport tasks`: the tasks, and what can be set of each."""

from __future__ import annotations

from typing import Annotated

import typer

from ..deployment.options import task_names
from . import options
from .shared import Json, document, verb

Name = Annotated[
    str | None,
    typer.Argument(
        metavar="[NAME]",
        autocompletion=options.of(task_names),
        help="A task: what can be set, the data it takes, how it is judged.",
    ),
]


@verb
def run(name: Name = None, as_json: Json = False) -> None:
    """The tasks, and what can be set of each."""
    from ..documents import TasksDocument, task_row
    from ..tasks import tasks
    from . import tables

    known = [tasks.get(one) for one in ([name] if name else tasks.names())]
    if as_json:
        document(TasksDocument(tasks=tuple(map(task_row, known))))
    elif name:
        tables.task(known[0])
        print(f"next:   {known[0].example}")
    else:
        tables.tasks(known)
        print("next:   torchport tasks NAME")
