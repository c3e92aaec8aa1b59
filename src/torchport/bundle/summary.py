"""A Bundle in ten lines for a person: what it answers, by what, how fast, how sure that is, and where it came from."""

from __future__ import annotations

from ..figures import count, milliseconds, percent, size
from ..types import Candidate, Signature
from .manifest import Manifest


def lines(manifest: Manifest) -> list[tuple[str, str]]:
    """(heading, what is to be said) for what is known; every text is the manifest's own and may hold anything."""
    graph = manifest.graphs.get("model") or next(iter(manifest.graphs.values()), None)
    found = [
        ("task", f"{manifest.task.name}; {_facts(manifest)}"),
        ("model", f"{_inputs(graph)} -> {_outputs(graph)}" if graph else ""),
        ("made", _made(manifest)),
        ("chosen", _chosen(manifest)),
        ("budget", f"{manifest.budget}: {_MET[manifest.met]}" if manifest.budget else ""),
        ("because", manifest.evidence.met_because),
        ("variants", ", ".join(variant.id for variant in manifest.variants)),
        ("runs on", ", ".join(f"{profile}: {name}" for profile, name in manifest.chosen_for.items())),
        (
            "golden",
            f"{count(sum(len(one.items) for one in manifest.golden), 'item')} with the reference's answers, for "
            "`torchport verify`"
            if manifest.golden
            else "none were kept",
        ),
        ("files", _files(manifest)),
    ]
    return [(heading, text) for heading, text in found if text]


_MET = {"yes": "shown to be kept", "no": "not kept", "not shown": "not refuted, and not shown either"}


def _facts(manifest: Manifest) -> str:
    stated, assumed = len(manifest.task.facts) - len(manifest.task.assumed), manifest.task.assumed
    return f"{count(stated, 'fact')} stated" + (f", assumed: {', '.join(assumed)}" if assumed else ", none assumed")


def _inputs(graph: Signature) -> str:
    return ", ".join(f"{one.name}: {one.dtype}[{', '.join(map(str, one.shape))}]" for one in graph.inputs)


def _outputs(graph: Signature) -> str:
    return ", ".join(f"{one.name}: {one.dtype}[{', '.join(map(str, one.shape))}]" for one in graph.outputs)


def _made(manifest: Manifest) -> str:
    source, cpu = manifest.provenance.get("name"), manifest.evidence.machine.get("cpu")
    parts = [
        manifest.evidence.made[:10],
        f"by torchport {manifest.torchport}",
        f"from {source}" if source else "",
        f"measured on {cpu}" if cpu else "",
    ]
    return ", ".join(part for part in parts if part)


def _chosen(manifest: Manifest) -> str:
    if manifest.chosen is None:
        return ""
    row = next((one for one in manifest.evidence.candidates if one.id == manifest.chosen), None)
    return ", ".join([manifest.chosen, *(_measured(row) if row else [])])


def _measured(row: Candidate) -> list[str]:
    found = [milliseconds(row.latency_ms.median)] if row.latency_ms else []
    found += [size(row.size_bytes)] if row.size_bytes is not None else []
    return found + (
        [f"{row.accuracy.metric} {percent(row.accuracy.value)} of {row.accuracy.items} items"] if row.accuracy else []
    )


def _files(manifest: Manifest) -> str:
    code = [variant.id for variant in manifest.variants if variant.executes_code]
    total = sum(entry.size for entry in manifest.files)
    return f"{size(total)} in {count(len(manifest.files), 'file')}" + (
        f"; needs --trust, for it can run code: {', '.join(code)}" if code else ""
    )
