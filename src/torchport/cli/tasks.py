"""`torchport tasks`: the tasks, with a runnable example each."""

from __future__ import annotations

from .shared import Json, document, verb


@verb
def run(as_json: Json = False) -> None:
    """The tasks, with a runnable example each."""
    from ..tasks import tasks

    rows = [
        {"name": task.name, "about": task.about, "metric": task.metric, "facts": dict(task.defaults), "suffixes": list(task.suffixes), "example": task.example}
        for task in map(tasks.get, tasks.names())
    ]
    if as_json:
        document({"tasks": rows})
        return
    for row in rows:
        print(f"{row['name']}: {row['about']}; judged by {row['metric']}")
        for key, value in dict(row["facts"]).items():  # type: ignore[call-overload]
            print(f"  --set {key}={value}")
        print(f"  {row['example']}\n")
