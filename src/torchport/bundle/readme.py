"""The README of a Bundle: what it is, what goes in and comes out, and how to run it, generated from the manifest."""

from __future__ import annotations

from ..types import Signature, Step, TensorSpec
from .manifest import Manifest


def text(manifest: Manifest) -> str:
    """Markdown for people who were handed the Bundle and know nothing of torchport."""
    parts = [
        f"# {manifest.name}",
        f"A verified model for the task `{manifest.task.name}`, made by torchport {manifest.torchport}. `torchport.json` says everything below as data; `report.html` shows what was measured.",
        "## Run it",
        f"```\npip install torchport\ntorchport predict {manifest.name}.tport YOUR_INPUT\n```",
        "## The chain\n\n" + "\n".join(f"{i}. {_step(step)}" for i, step in enumerate(manifest.steps, 1)),
        "## Graphs\n\n" + "\n\n".join(_graph(name, signature) for name, signature in manifest.graphs.items()),
        "## Variants\n\n| id | target | recipe | runs on |\n|---|---|---|---|\n"
        + "\n".join(f"| {v.id} | {v.artifact.target} | {v.artifact.recipe} | {', '.join(v.profiles) or 'where torch is installed'} |" for v in manifest.variants),
        f"Chosen: `{manifest.chosen}`. Budget: {manifest.budget}; shown to hold: {manifest.met}.",
        "## Limits\n\nThe model is right as often as it was on the data it was measured with, and nothing is known beyond that. "
        "Facts that nobody stated and that had to be assumed: " + (", ".join(manifest.task.assumed) or "none") + ".",
        "## Licence\n\nThat of the model's weights, which their maker states; torchport adds none.",
    ]
    return "\n\n".join(parts) + "\n"


def _step(step: Step) -> str:
    how = " or ".join([*([f"graph `{step.graph}`"] if step.graph else []), *([f"host step `{step.host}`"] if step.host else [])])
    return f"**{step.name}** ({how}): {', '.join(step.inputs.values())} -> {', '.join(step.outputs.values())}"


def _graph(name: str, signature: Signature) -> str:
    rows = [*(("input", spec) for spec in signature.inputs), *(("output", spec) for spec in signature.outputs)]
    return f"`{name}`\n\n| | name | type | shape |\n|---|---|---|---|\n" + "\n".join(_tensor(kind, spec) for kind, spec in rows)


def _tensor(kind: str, spec: TensorSpec) -> str:
    return f"| {kind} | {spec.name} | {spec.dtype} | [{', '.join(map(str, spec.shape))}] |"
