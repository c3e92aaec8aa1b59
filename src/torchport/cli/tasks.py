"""`torchport tasks`: the tasks, with a runnable example each."""

from __future__ import annotations

from .shared import Json, document, verb


@verb
def run(as_json: Json = False) -> None:
    """The tasks, with a runnable example each."""
    from ..documents import TaskRow, TasksDocument
    from ..tasks import tasks

    known = [tasks.get(name) for name in tasks.names()]
    if as_json:
        rows = [TaskRow(name=t.name, about=t.about, metric=t.metric, facts=dict(t.defaults), about_facts=dict(t.about_facts), suffixes=t.suffixes, example=t.example) for t in known]
        document(TasksDocument(tasks=tuple(rows)))
        return
    for task in known:
        print(f"{task.name}: {task.about}; judged by {task.metric}")
        for key, value in task.defaults.items():
            print(f"  --set {key}={value}")
        print(f"  {task.example}\n")
