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

from . import __version__, budget, machine
from .bundle import Evidence, Golden, Manifest, TaskRecord, Variant, readme, writer
from .report import Answer, PictureRow, ReportData, Skipped, write
from .request import Request
from .targets import targets
from .targets.base import PROFILES
from .types import Artifact, Candidate, Choice, Reference
from .verify import traces

if TYPE_CHECKING:
    from .capture.assemble import Assembled
    from .verify.prove import Proven

SHOWN_ITEMS = 40


@dataclass(frozen=True)
class Made:
    """Everything a deploy has in hand when the choice is made."""

    request: Request
    assembled: Assembled
    proven: Proven
    choice: Choice
    eager: Reference
    artifacts: Mapping[str, Artifact]
    reference: Artifact
    answers: Mapping[str, Sequence[Mapping[str, Any] | None]]
    golden: list[traces.Trace]


def fill(made: Made, folder: Path) -> Manifest:
    """Complete the staging folder, which already holds `variants/` and `reference/`."""
    kept = keep(made.choice, made.request.keep)
    for place in (folder / "variants").iterdir():
        if place.name not in kept:
            shutil.rmtree(place)
    manifest = _manifest(made, kept)
    if made.golden:
        (folder / "golden").mkdir()
        traces.save(folder / manifest.golden[0].path, made.golden)
    for name, content in made.assembled.task.files(made.assembled.facts).items():
        (folder / name).write_bytes(content)
    report(made, folder / "report.html")
    (folder / "README.md").write_text(readme.text(manifest), encoding="utf-8")
    return writer.finish(folder, manifest)


def keep(choice: Choice, policy: str) -> list[str]:
    """Ids to keep: `chosen` the winners, `front` also the Pareto front and full-precision variants that run anywhere, `all` what answers right."""
    sound = [c for c in choice.candidates if c.status in ("chosen", "ok", "rejected") and c.parity]
    winners = {choice.chosen, *choice.chosen_for.values()}
    if policy == "all":
        return [c.id for c in sound]
    if policy == "chosen":
        return [c.id for c in sound if c.id in winners]
    return [c.id for c in sound if c.id in winners or c.id in choice.front or _portable(c)]


def _portable(candidate: Candidate) -> bool:
    return set(candidate.profiles) == set(PROFILES) and candidate.precision == "fp32"


def _manifest(made: Made, kept: Sequence[str]) -> Manifest:
    assembled, request, choice = made.assembled, made.request, made.choice
    by_id = {c.id: c for c in choice.candidates}
    names = tuple(one.name for one in made.golden)
    return Manifest(
        schema=1,
        name=request.output.name.removesuffix(".tport"),
        torchport=__version__,
        task=TaskRecord(name=assembled.task.name, facts=assembled.facts, assumed=assembled.assumed),
        graphs=assembled.graphs,
        steps=assembled.steps,
        variants=tuple(_variant(by_id[name], made.artifacts[name]) for name in kept),
        chosen=choice.chosen,
        chosen_for=choice.chosen_for,
        front=tuple(name for name in choice.front if name in kept),
        met=choice.met,
        budget=request.limits.text,
        reference=made.reference,
        golden=(Golden(path="golden/fp32.safetensors", recipe="fp32", items=names, labels=tuple(one.label for one in made.golden)),) if names else (),
        settings=settings(request),
        provenance={**assembled.program.source, "versions": versions(made), "made_up_inputs": assembled.made_up},
        evidence=Evidence(
            candidates=choice.candidates,
            reference=made.eager,
            machine=msgspec.to_builtins(machine.describe()),
            made=time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
            why=choice.why,
            met_because=choice.met_because,
        ),
    )


def _variant(candidate: Candidate, artifact: Artifact) -> Variant:
    target = targets.get(artifact.target)
    return Variant(
        id=candidate.id,
        artifact=artifact,
        tolerance=target.tolerance(artifact.precision),
        profiles=candidate.profiles,
        executes_code=target.executes_code,
        threads=candidate.threads,
    )


def settings(request: Request) -> dict[str, Any]:
    """The resolved command line; files by name only, so that a Bundle tells nothing of its maker's folders."""
    found = {one.name: getattr(request, one.name) for one in fields(request) if one.name not in ("source", "log")}
    return {name: _recorded(value) for name, value in found.items()}


def _recorded(value: Any) -> Any:
    if isinstance(value, Path):
        return value.name
    if isinstance(value, Mapping):
        return {key: Path(one).name if isinstance(one, str) and "/" in one else one for key, one in value.items()}
    return list(value) if isinstance(value, tuple) else value


def versions(made: Made) -> dict[str, str]:
    """Versions of everything that made or runs the artefacts."""
    packages = {"torchport": __version__, "numpy": importlib.metadata.version("numpy")}
    for artifact in (made.reference, *made.artifacts.values()):
        packages |= artifact.requires
    return dict(sorted(packages.items()))


def report(made: Made, path: Path) -> None:
    """Write the HTML report; pictures are shown only for golden items, which the Bundle holds anyway."""
    assembled, choice = made.assembled, made.choice
    skipped = [Skipped(what=c.id, why=c.reason or "") for c in choice.candidates if c.status in ("absent", "failed")]
    skipped += [Skipped(what=name, why=why) for name, why in made.proven.unreadable.items()]
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
        pictures=tuple(_pictures(made)),
        skipped=tuple(skipped),
        stages={"host steps": made.proven.host} if made.proven.host.outputs else {},
    )
    write(path, data)


def _pictures(made: Made) -> list[PictureRow]:
    task = made.assembled.task
    rows: list[PictureRow] = []
    shown = {one.name: one.host["raw"] for one in made.golden}
    for i, (item, reference) in enumerate(zip(made.assembled.items, made.proven.results, strict=True)):
        if reference is None or len(rows) == SHOWN_ITEMS:
            continue
        answers = {name: got[i] for name, got in made.answers.items()}
        rows.append(
            PictureRow(
                name=item.name,
                label=None if item.label is None else str(item.label),
                thumbnail=task.thumbnail(shown[item.name]) if item.name in shown else None,
                reference=task.words(reference),
                right=None if item.label is None else task.score(reference, item.label) >= 0.5,
                answers={name: Answer(text=task.words(got) if got else "no answer", same=got is not None and task.agree(got, reference)) for name, got in answers.items()},
            )
        )
    return rows


def command(request: Request) -> str:
    """The command line that makes this Bundle again, with file names instead of paths."""
    import shlex

    source = request.source if isinstance(request.source, str) else type(request.source).__name__
    words = ["torchport", "deploy", Path(source).name, "--task", request.task]
    for key, value in request.arguments.items():
        words += ["--arg", f"{key}={value}"]
    for flag, path in (("--weights", request.weights), ("--data", request.data)):
        words += [flag, path.name] if path else []
    for text in request.inputs:
        words += ["--input", text]
    for key, value in settings(request)["settings"].items():
        words += ["--set", f"{key}={value}"]
    for flag, names in (("--targets", request.targets), ("--recipes", request.recipes)):
        words += [flag, ",".join(names)] if names else []
    words += ["--budget", request.budget] if request.budget else []
    return shlex.join([*words, "--for", request.profile, "-o", request.output.name])
