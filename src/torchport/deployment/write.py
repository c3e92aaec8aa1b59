"""What a finished deploy leaves in a Bundle: the kept variants, golden vectors, manifest, README and report."""

from __future__ import annotations

import importlib.metadata
import shutil
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from .. import __version__
from ..bundle import Evidence, Golden, Manifest, TaskRecord, Variant, readme, writer
from ..bundle.manifest import SCHEMA
from ..choice import budget
from ..compress import parse
from ..report import Answer, PictureRow, ReportData, Skipped, write
from ..system import machine
from ..targets import targets
from ..targets.base import PROFILES
from ..tasks import Item, assets
from ..types import PLAIN, Artifact, Candidate, Choice, Reference
from ..verification import traces
from ..verification.parity import key_of
from .again import command
from .poor import about_data
from .request import Request

if TYPE_CHECKING:
    from .explore import Explored

SHOWN_ITEMS = 40

OTHER_MACHINE_DB = 6.0
"""How much noisier integer arithmetic may be where another CPU multiplies the integers: twice the amplitude."""


@dataclass(frozen=True)
class Made:
    """Everything a deploy has in hand when the choice is made; `golden` is by the name of a chain of recipes."""

    request: Request
    tried: Explored
    choice: Choice
    eager: Reference
    reference: Artifact
    golden: Mapping[str, list[traces.Trace]]


def fill(made: Made, folder: Path) -> Manifest:
    """Complete the staging folder, which already holds `variants/` and `reference/`."""
    kept = keep(made.choice, made.request.keep)
    for place in (folder / "variants").iterdir():
        if place.name not in kept:
            shutil.rmtree(place)
    manifest = _manifest(made, kept)
    for golden in manifest.golden:
        (folder / "golden").mkdir(exist_ok=True)
        traces.save(folder / golden.path, made.golden[golden.recipe])
    for name, content in made.tried.assembled.task.files(made.tried.assembled.facts).items():
        (folder / name).write_bytes(content)
    for name, path in assets.detach(made.tried.assembled.facts)[1].items():
        (folder / name).parent.mkdir(exist_ok=True)
        shutil.copyfile(path, folder / name)
    report(made, folder / "report.html")
    (folder / "README.md").write_text(readme.text(manifest), encoding="utf-8")
    return writer.finish(folder, manifest)


def keep(choice: Choice, policy: str) -> list[str]:
    """Ids to keep: `chosen` the winners, `front` also the Pareto front and full-precision variants that run anywhere,
    `all` what answers right, and what only another machine can verify.
    """
    sound = [c for c in choice.candidates if c.status in ("chosen", "ok", "rejected") and c.parity]
    winners = {choice.chosen, *choice.chosen_for.values()}
    if policy == "all":
        return [c.id for c in choice.candidates if c in sound or c.status == "unverified"]
    if policy == "chosen":
        return [c.id for c in sound if c.id in winners]
    return [c.id for c in sound if c.id in winners or c.id in choice.front or _portable(c)]


def _portable(candidate: Candidate) -> bool:
    return set(candidate.profiles) == set(PROFILES) and candidate.precision == "fp32"


def _manifest(made: Made, kept: Sequence[str]) -> Manifest:
    assembled, request, choice = made.tried.assembled, made.request, made.choice
    by_id = {c.id: c for c in choice.candidates}
    variants = tuple(_variant(by_id[name], made) for name in kept)
    return Manifest(
        schema=SCHEMA,
        name=request.output.name.removesuffix(".tport"),
        torchport=__version__,
        task=TaskRecord(name=assembled.task.name, facts=assets.detach(assembled.facts)[0], assumed=assembled.assumed),
        graphs=assembled.graphs,
        steps=assembled.steps,
        variants=variants,
        chosen=choice.chosen,
        chosen_for=choice.chosen_for,
        front=tuple(name for name in choice.front if name in kept),
        met=choice.met,
        budget=request.limits.text,
        reference=made.reference,
        golden=tuple(
            _golden(name, made.golden[name])
            for name in dict.fromkeys((PLAIN, *(variant.golden for variant in variants)))
            if made.golden[name]
        ),
        settings=settings(request),
        provenance={**assembled.program.source, "versions": versions(made), "made_up_inputs": assembled.made_up},
        evidence=Evidence(
            candidates=choice.candidates,
            reference=made.eager,
            machine=msgspec.to_builtins(machine.describe()),
            made=time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
            why=choice.why,
            met_because=choice.met_because,
            warnings=choice.warnings,
        ),
    )


def _golden(recipe: str, kept: Sequence[traces.Trace]) -> Golden:
    return Golden(
        path=f"golden/{recipe}.safetensors",
        recipe=recipe,
        items=tuple(one.name for one in kept),
        labels=tuple(one.label for one in kept),
    )


def _variant(candidate: Candidate, made: Made) -> Variant:
    artifact = made.tried.artifacts[candidate.id]
    target, baseline = targets.get(artifact.target), parse(candidate.recipe).baseline
    tolerance = target.tolerance(artifact.precision)
    return Variant(
        id=candidate.id,
        artifact=artifact,
        tolerance=tolerance,
        least_db=made.tried.baselines[baseline].allowed(target, artifact.precision)
        or (_as_measured(candidate) if tolerance is None else {}),
        golden=baseline,
        profiles=candidate.profiles,
        executes_code=target.executes_code,
        threads=candidate.threads,
        verified=candidate.status != "unverified",
    )


def _as_measured(candidate: Candidate) -> dict[str, float]:
    """What a runtime that quantised by itself is held to on other machines: as far from the reference as it was here,
    and a little.
    """
    outputs = candidate.parity.outputs if candidate.parity else ()
    return {key_of(one): one.snr_db - OTHER_MACHINE_DB for one in outputs if one.snr_db is not None}


def settings(request: Request) -> dict[str, Any]:
    """The resolved command line; files by name only, so that a Bundle tells nothing of its maker's folders."""
    found = {one.name: getattr(request, one.name) for one in fields(request) if one.name not in ("source", "log")}
    return {name: _recorded(value) for name, value in found.items()}


def _recorded(value: Any) -> Any:
    if isinstance(value, Path):
        return value.name
    if isinstance(value, Mapping):
        return {
            key: Path(one).name if isinstance(one, Path) or (isinstance(one, str) and "/" in one) else one
            for key, one in value.items()
        }
    return list(value) if isinstance(value, tuple) else value


def versions(made: Made) -> dict[str, str]:
    """Versions of everything that made or runs the artefacts."""
    packages = {"torchport": __version__, "numpy": importlib.metadata.version("numpy")}
    for artifact in (made.reference, *made.tried.artifacts.values()):
        packages |= artifact.requires
    return dict(sorted(packages.items()))


def report(made: Made, path: Path) -> None:
    """Write the HTML report."""
    assembled, choice = made.tried.assembled, made.choice
    skipped = [
        Skipped(what=c.id, why=c.reason or "")
        for c in choice.candidates
        if c.status in ("absent", "failed", "unverified")
    ]
    skipped += [Skipped(what=name, why=why) for name, why in made.tried.proven.unreadable.items()]
    data = ReportData(
        title=made.request.output.name.removesuffix(".tport"),
        task=assembled.task.name,
        facts=tuple(assembled.task.describe(assembled.facts)),
        assumed=assembled.assumed,
        choice=choice,
        reference=made.eager,
        budget=budget.words(made.request.limits),
        machine=msgspec.to_builtins(machine.describe()),
        versions=versions(made),
        source=dict(assembled.program.source),
        command=command(made.request),
        pictures=tuple(_items(made)),
        skipped=tuple(skipped),
        doubted=about_data(assembled, made.tried.proven),
        stages={"host steps": made.tried.proven.host} if made.tried.proven.host.outputs else {},
    )
    write(path, data)


def _items(made: Made) -> list[PictureRow]:
    """The items that the report shows: those that somebody answers differently or wrongly first, each with its picture
    where there is one.
    """
    task, facts = made.tried.assembled.task, made.tried.assembled.facts
    rows: list[tuple[Item, Mapping[str, Any], PictureRow]] = []
    for i, (item, reference) in enumerate(zip(made.tried.assembled.items, made.tried.proven.results, strict=True)):
        if reference is None:
            continue
        answers = {name: got[i] for name, got in made.tried.answers.items()}
        row = PictureRow(
            name=item.name,
            label=None if item.label is None else task.label_words(item.label, facts),
            thumbnail=None,
            reference=task.words(reference),
            right=None if item.label is None else task.score(reference, item.label) >= 0.5,
            answers={
                name: Answer(
                    text=task.words(got) if got else "no answer", same=got is not None and task.agree(got, reference)
                )
                for name, got in answers.items()
            },
        )
        rows.append((item, reference, row))
    rows.sort(key=lambda one: one[2].dull)
    if made.request.golden == 0:  # who keeps no items in the Bundle shows none in its report
        return [row for _, _, row in rows[:SHOWN_ITEMS]]
    return [
        msgspec.structs.replace(row, thumbnail=task.illustrate(item.read(), reference))
        for item, reference, row in rows[:SHOWN_ITEMS]
    ]
