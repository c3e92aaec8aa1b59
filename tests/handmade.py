"""Bundles made by hand from fake targets, in milliseconds: what opens, verifies and predicts them is the real thing."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path

import numpy as np

from torchport.bundle import Golden, Manifest, TaskRecord, Variant, writer
from torchport.targets import Target, targets
from torchport.targets.base import ExportOptions
from torchport.tasks import Item, Plan, tasks
from torchport.tasks.facts import record
from torchport.testing import FakeTarget, fake_program
from torchport.types import Artifact, Signature
from torchport.verification import traces

ROWS = np.random.default_rng(2).standard_normal((3, 4)).astype(np.float32)


@contextmanager
def known(*made: Target) -> Iterator[None]:
    """Within the block the registry knows these targets."""
    with ExitStack() as stack:
        for target in made:
            stack.enter_context(targets.using(target.name, target))
        yield


def bundle(
    path: Path,
    made: Sequence[Target] = (FakeTarget(),),
    change: Callable[[Manifest], Manifest] = lambda manifest: manifest,
) -> Path:
    """A Bundle of the `tensor` task: x float32[batch, 4] -> y float32[batch, 3], one variant a target, three golden
    items.

    Args:
        change: alters the manifest before it is written.
    """
    program, task = fake_program(), tasks.get("tensor")
    signature = program.graphs["model"].signature
    facts = task.bind(task.facts(), signature)
    plan = Plan(task, facts, task.steps(facts, signature), {"model": signature})
    with writer.staging(path) as folder:
        artifacts = {}
        for target in made:
            place = folder / "variants" / f"{target.name}-fp32"
            place.mkdir(parents=True)
            artifacts[place.name] = target.export(program, place, ExportOptions())
        golden = _golden(plan, signature, folder)
        manifest = Manifest(
            schema=1,
            name=path.name.removesuffix(".tport"),
            torchport="0",
            task=TaskRecord(name="tensor", facts=record(facts)),
            graphs={"model": signature},
            steps=plan.steps,
            variants=tuple(_variant(name, artifact) for name, artifact in artifacts.items()),
            chosen=next(iter(artifacts)),
            chosen_for={"python": next(iter(artifacts))},
            golden=(golden,),
        )
        writer.finish(folder, change(manifest))
        writer.publish(folder, path)
    return path


def _variant(name: str, artifact: Artifact) -> Variant:
    return Variant(id=name, artifact=artifact, tolerance=1e-4, profiles=("python", "server"))


def _golden(plan: Plan, signature: Signature, folder: Path) -> Golden:
    from safetensors.numpy import save

    place = folder / "scratch"
    place.mkdir()
    right = FakeTarget()
    artifact = right.export(fake_program(), place, ExportOptions())
    with right.open(artifact, place, signature) as runner:
        items = [Item(f"x[{i}]", lambda i=i: save({"x": ROWS[i : i + 1]})) for i in range(len(ROWS))]
        found = [traces.trace(plan, item, {"model": runner}, both=False) for item in items]
    for left in place.iterdir():
        left.unlink()
    place.rmdir()
    (folder / "golden").mkdir()
    traces.save(folder / "golden/fp32.safetensors", found)
    return Golden(path="golden/fp32.safetensors", recipe="fp32", items=tuple(item.name for item in items))
