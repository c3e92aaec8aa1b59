"""The README of a Bundle: what it is, what goes in and comes out, how to run it, and what it rests on, generated from
the manifest.
"""

from __future__ import annotations

import shlex
from collections.abc import Iterable

from ..errors import TorchportError, UsageError
from ..figures import interval, percent
from ..tasks import tasks
from ..types import Accuracy, Signature, Step, TensorSpec
from .grammar import printable
from .manifest import Manifest

PROGRAMS = {"python": ("answer.py", "python"), "javascript": ("answer.mjs", "node")}
"""Language of a task's snippet -> the file to save it in, and the command that runs it."""


def text(manifest: Manifest) -> str:
    """Markdown for people who were handed the Bundle and know nothing of torchport."""
    parts = [
        f"# {manifest.name}",
        f"{_about(manifest)} `torchport.json` says everything below as data; `report.html` shows what was measured.",
        "## Run it",
        f"```\npip install {_install(manifest)}\ntorchport predict {shlex.quote(f'{manifest.name}.tport')} "
        "YOUR_INPUT\n```",
        *_programs(manifest),
        "## The chain\n\n" + _numbered(map(_step, manifest.steps)),
        "## Graphs\n\n" + "\n\n".join(_graph(name, signature) for name, signature in manifest.graphs.items()),
        "## Variants\n\n| id | target | recipe | runs on |\n|---|---|---|---|\n"
        + "\n".join(
            f"| {v.id} | {v.artifact.target} | {v.artifact.recipe} | "
            f"{', '.join(v.profiles) or 'where torch is installed'} |"
            for v in manifest.variants
        ),
        *_apart(manifest),
        f"Chosen: `{manifest.chosen}`. Budget: {printable(manifest.budget, barred='`|')}; shown to hold: "
        f"{manifest.met}.",
        "## Limits\n\n" + "\n".join(f"- {line}" for line in _limits(manifest)),
        "## Licence\n\nThat of the model's code and weights, which their makers state; torchport adds none.",
    ]
    return "\n\n".join(parts) + "\n"


def _is_coded(manifest: Manifest) -> bool:
    return any(entry.coded for entry in manifest.files)


def _install(manifest: Manifest) -> str:
    return "'torchport[smallest]'" if _is_coded(manifest) else "torchport"


def _about(manifest: Manifest) -> str:
    source = manifest.provenance.get("name")
    made = f", made from `{printable(str(source))}`" if source else ", made"
    return f"A verified model for the task `{manifest.task.name}`{made} by torchport {manifest.torchport}."


def _programs(manifest: Manifest) -> list[str]:
    try:
        task = tasks.get(manifest.task.name)
    except TorchportError:  # a task of somebody else's package, which is not installed here
        return []
    artifacts = {variant.id: variant.artifact for variant in manifest.variants}
    try:
        facts = task.recorded(
            manifest.task.facts
        )  # a stranger's facts are filled into a program only once they are what the task knows
        found = task.snippets(facts, manifest.graphs["model"], artifacts)
    except (UsageError, KeyError, IndexError):
        return []
    parts = ["## Run it without torchport"] if found else []
    if found and _is_coded(manifest):
        parts.append(
            "First decode what is stored with zstd, in this folder: `zstd -d -r .` writes each file beside its `.zst`."
        )
    for language, program in found.items():
        file, command = PROGRAMS[language]
        parts.append(f"Save this as `{file}` in this folder, then `{command} {file} YOUR_INPUT`:")
        parts.append(f"```{language}\n{program}```")
    return parts


def _apart(manifest: Manifest) -> list[str]:
    """What a client has to know of single variants: graphs that are not there, machines that they were built for."""
    lines = []
    for variant in manifest.variants:
        made = variant.artifact
        lines += [
            f"- `{variant.id}` has no graph `{graph}` ({printable(why)}): the host step of that name answers for it."
            for graph, why in made.declined.items()
        ]
        if (only := made.built_for) is not None:
            names = [*only.systems, *only.architectures, *only.instruction_sets]
            lines.append(f"- `{variant.id}` runs on {', '.join(names) or 'any machine'} only.")
        if not variant.verified:
            lines.append(f"- `{variant.id}` was made on another machine than it runs on, and is not verified.")
    return ["\n".join(lines)] if lines else []


def _numbered(lines: Iterable[str]) -> str:
    return "\n".join(f"{i}. {line}" for i, line in enumerate(lines, 1))


def _step(step: Step) -> str:
    drives = (
        f", which runs {', '.join(f'`{graph}`' for graph in step.drives)} as often as it takes" if step.drives else ""
    )
    how = " or ".join(
        [
            *([f"graph `{step.graph}`"] if step.graph else []),
            *([f"host step `{step.host}`{drives}"] if step.host else []),
        ]
    )
    return f"**{step.name}** ({how}): {', '.join(step.inputs.values())} -> {', '.join(step.outputs.values())}"


def _graph(name: str, signature: Signature) -> str:
    rows = [*(("input", spec) for spec in signature.inputs), *(("output", spec) for spec in signature.outputs)]
    return f"`{name}`\n\n| | name | type | shape |\n|---|---|---|---|\n" + "\n".join(
        _tensor(kind, spec) for kind, spec in rows
    )


def _tensor(kind: str, spec: TensorSpec) -> str:
    return f"| {kind} | {spec.name} | {spec.dtype} | [{', '.join(map(str, spec.shape))}] |"


def _limits(manifest: Manifest) -> list[str]:
    """What the figures rest on; nothing that differs from one measurement to the next."""
    measured = {c.id: c.accuracy for c in manifest.evidence.candidates}.get(manifest.chosen or "")
    lines = [_measured(measured) if measured else "Its accuracy was not measured."]
    if manifest.provenance.get("made_up_inputs"):
        lines.append("The inputs were made up: nothing is known of how right it is on real ones.")
    lines.append("Nothing is known of data unlike those it was measured on.")
    if manifest.task.assumed:
        lines.append(f"Nobody stated these facts, so they were assumed: {', '.join(manifest.task.assumed)}.")
    if (cpu := manifest.evidence.machine.get("cpu")) is not None:
        lines.append(
            f"Variants were timed and chosen on {printable(str(cpu))}; another machine may order them differently "
            "(`torchport bench`)."
        )
    return lines


def _measured(one: Accuracy) -> str:
    held = "on the data that it was chosen on" if one.labelled else "with the original model's answers"
    return (
        f"{printable(one.metric)} of the chosen variant: {percent(one.value)} {held}, {one.items} items; "
        f"{interval(*one.interval)} beside the original (95 % interval)."
    )
