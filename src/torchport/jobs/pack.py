"""`torchport pack`: a smaller Bundle from a Bundle."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path

import msgspec

from ..bundle import Bundle, Manifest, Variant, coding, readme, trust, writer
from ..bundle.manifest import SCHEMA
from ..documents import VariantSize
from ..errors import BudgetNotMet, UsageError
from ..targets.base import PROFILES
from ..tasks import assets
from ..timing.candidates import weighed
from ..types import PLAIN, Artifact
from ..verification import golden_of, traces


@dataclass(frozen=True)
class PackOptions:
    """What to leave in.

    Attributes:
        profile: keep only variants that run there, and leave the eager reference out; None keeps all.
        keep: `chosen`, `front`, `all`, or ids.
        golden: how many golden items; None keeps them all.
        as_zip: one file instead of a folder.
        smallest: files coded with zstd, where that is worth it.
    """

    profile: str | None = None
    keep: str | tuple[str, ...] = "all"
    golden: int | None = None
    as_zip: bool = False
    smallest: bool = False


def repack(bundle: Bundle, output: Path, options: PackOptions) -> Manifest:
    """Write the smaller Bundle; every file is checked on the way.

    Raises:
        UsageError: an unknown profile or variant.
        BudgetNotMet: no variant is left.
        MissingDependency: files are, or are to be, coded, and zstandard is not installed.
    """
    if options.profile is not None and options.profile not in PROFILES:
        raise UsageError(f"there is no profile '{options.profile}'", f"--for takes {', '.join(PROFILES)}")
    manifest = bundle.manifest
    kept = [v for v in manifest.variants if _wanted(v, manifest, options)]
    if not kept:
        raise BudgetNotMet(
            f"{manifest.name} has no variant for {options.profile or options.keep}",
            f"it has {', '.join(v.id for v in manifest.variants)}",
        )
    trusted = trust.made_here(bundle.digest)
    with writer.staging(output) as folder:
        for variant in kept:
            _copy(bundle, f"variants/{variant.id}", variant.artifact, folder)
        smaller = _smaller(bundle, kept, options, folder)
        coded = coding.code(folder) if options.smallest else {}
        smaller = writer.listed(folder, _weighed(smaller, folder), coded)
        (folder / "README.md").write_text(readme.text(smaller), encoding="utf-8")
        done = writer.finish(folder, smaller, coded)
        if options.as_zip:
            writer.write_zip(folder, output, [entry.path for entry in done.files])
        else:
            writer.publish(folder, output)
    if trusted:
        trust.remember_path(output)
    return done


def sizes(manifest: Manifest) -> list[VariantSize]:
    """What each variant of a Bundle takes, each figure apart."""
    measured = {candidate.id: candidate for candidate in manifest.evidence.candidates}
    rows = []
    for variant in manifest.variants:
        files = [entry for entry in manifest.files if entry.name.startswith(f"variants/{variant.id}/")]
        known = measured.get(variant.id)
        rows.append(
            VariantSize(
                id=variant.id,
                size_bytes=sum(entry.size for entry in files),
                download_bytes=known.download_bytes if known else None,
                decoded_bytes=sum(entry.content_size for entry in files),
                memory_bytes=known.memory_bytes if known else None,
            )
        )
    return rows


def _weighed(manifest: Manifest, folder: Path) -> Manifest:
    """With what the kept variants take on disk and to download now."""
    ids = {variant.id for variant in manifest.variants}
    rows = tuple(
        weighed(one, folder / "variants" / one.id) if one.id in ids else one for one in manifest.evidence.candidates
    )
    return msgspec.structs.replace(manifest, evidence=msgspec.structs.replace(manifest.evidence, candidates=rows))


def _copy(bundle: Bundle, place: str, artifact: Artifact, folder: Path) -> None:
    """The listed files of an artefact, each checked; what else lies beside them stays behind."""
    for name in {name for graph in artifact.graphs.values() for name in (graph.entry, *graph.files)}:
        (folder / place / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(bundle.file(f"{place}/{name}"), folder / place / name)


def _wanted(variant: Variant, manifest: Manifest, options: PackOptions) -> bool:
    if options.profile is not None and options.profile not in variant.profiles:
        return False
    winners = {manifest.chosen, *manifest.chosen_for.values()}
    if options.profile is not None:
        winners = {manifest.chosen_for.get(options.profile)}
    if isinstance(options.keep, tuple):
        for name in options.keep:
            manifest.variant(name)
        return variant.id in options.keep
    return options.keep == "all" or variant.id in winners or (options.keep == "front" and variant.id in manifest.front)


def _smaller(bundle: Bundle, kept: list[Variant], options: PackOptions, folder: Path) -> Manifest:
    manifest = bundle.manifest
    ids = {v.id for v in kept}
    reference = manifest.reference if options.profile is None else None
    if reference is not None:
        _copy(bundle, "reference", reference, folder)
    golden = []
    needed = {PLAIN, *(variant.golden for variant in kept)}
    for one in manifest.golden if options.golden != 0 else ():
        if one.recipe not in needed:
            continue
        count = len(one.items) if options.golden is None else options.golden
        golden.append(msgspec.structs.replace(one, items=one.items[:count], labels=one.labels[:count]))
        (folder / "golden").mkdir(exist_ok=True)
        traces.save(folder / one.path, golden_of(bundle, one.recipe)[:count])
    for name in bundle.entries:
        if name.startswith(f"{assets.FOLDER}/"):
            (folder / assets.FOLDER).mkdir(exist_ok=True)
            shutil.copyfile(bundle.file(name), folder / name)
        elif "/" not in name and name != "README.md" and not (name == "report.html" and options.golden == 0):
            shutil.copyfile(bundle.file(name), folder / name)
    chosen_for = {profile: name for profile, name in manifest.chosen_for.items() if name in ids}
    chosen = manifest.chosen if manifest.chosen in ids else chosen_for.get(options.profile or "", kept[0].id)
    return msgspec.structs.replace(
        manifest,
        schema=SCHEMA,
        variants=tuple(kept),
        reference=reference,
        golden=tuple(golden),
        chosen=chosen,
        chosen_for=chosen_for,
        files=(),
    )
