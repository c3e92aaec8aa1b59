"""`torchport.json`: the manifest of a Bundle, its schema version, and how older and newer ones are told apart."""

from __future__ import annotations

import json
from typing import Any, Literal

import msgspec

from ..errors import BundleError
from ..types import PLAIN, Artifact, Candidate, Met, Reference, Signature, Step, Value

SCHEMA = 4
"""Version of the manifest written here; every older one stays readable."""

STATELESS = 4
"""The schema from which on steps have no `state`; that of driven graphs stays."""

NAME = "torchport.json"


UNREADABLE = (msgspec.DecodeError, UnicodeDecodeError, RecursionError, OverflowError, ValueError)
"""What the JSON reader raises on bytes that are no JSON, no text, nested without end, or of numbers without end."""


class Coded(Value, frozen=True):
    """What a coded file decodes to: the path that everything else in the manifest calls it by, its size in bytes, its
    sha256.
    """

    coding: Literal["zstd"]
    path: str
    size: int
    sha256: str


class FileEntry(Value, frozen=True):
    """One file of the Bundle as it is stored: path relative to its root with `/`, size in bytes, sha256 in hex.

    Attributes:
        coded: what it decodes to, for a file that is stored coded (`pack --smallest`).
    """

    path: str
    size: int
    sha256: str
    coded: Coded | None = None

    @property
    def name(self) -> str:
        """The path that the rest of the manifest calls it by."""
        return self.coded.path if self.coded else self.path

    @property
    def content_size(self) -> int:
        """Bytes of what it holds."""
        return self.coded.size if self.coded else self.size

    @property
    def content_sha256(self) -> str:
        """The sha256 of what it holds."""
        return self.coded.sha256 if self.coded else self.sha256


class TaskRecord(Value, frozen=True):
    """The task, its resolved facts, and the names of facts that had to be assumed."""

    name: str
    facts: dict[str, Any]
    assumed: tuple[str, ...] = ()


class Variant(Value, frozen=True):
    """One way to run the Bundle; its files lie under `variants/<id>/`.

    Attributes:
        tolerance: greatest `max_rel` of a graph from the same tensor; null where the runtime computes with integers.
        least_db: for those, `stage/output` -> least ratio of signal to noise, in dB.
        golden: the recipe of the golden vectors that it is held against.
        verified: whether it was held against them when the Bundle was made; one that runs elsewhere only was not.
    """

    id: str
    artifact: Artifact
    tolerance: float | None
    least_db: dict[str, float] = {}
    golden: str = PLAIN
    profiles: tuple[str, ...] = ()
    executes_code: bool = False
    threads: int | None = None
    verified: bool = True


class Golden(Value, frozen=True):
    """Golden vectors of one recipe.

    The safetensors file holds `<item>/<value>` for every value of the chain with host steps and
    `<item>/in_graph/<value>` for the chain with exported graphs; `raw` is the input's bytes and `result` the answer's
    JSON as uint8.
    """

    path: str
    recipe: str
    items: tuple[str, ...]
    labels: tuple[Any, ...] = ()


class Evidence(Value, frozen=True):
    """What was measured when the Bundle was made: everything that may differ between two deploys of one source."""

    candidates: tuple[Candidate, ...] = ()
    reference: Reference | None = None
    machine: dict[str, Any] = {}
    made: str = ""
    why: str = ""
    met_because: str = ""
    warnings: tuple[str, ...] = ()


class Manifest(Value, frozen=True):
    """Everything a client needs to run the Bundle, and what it rests on.

    Attributes:
        graphs: graph name -> signature.
        steps: the chain from raw bytes to JSON.
        chosen, chosen_for, front, met: the recorded choice, per profile, the Pareto front, and whether the budget is
        shown to hold. reference: the eager model's artefact, under `reference/`; None where it was left out.
        settings: the resolved command line.
        provenance: where the model came from, with content hashes.
    """

    schema: int
    name: str
    torchport: str
    task: TaskRecord
    graphs: dict[str, Signature]
    steps: tuple[Step, ...]
    variants: tuple[Variant, ...]
    files: tuple[FileEntry, ...] = ()
    chosen: str | None = None
    chosen_for: dict[str, str] = {}
    front: tuple[str, ...] = ()
    met: Met = "not shown"
    budget: str = ""
    reference: Artifact | None = None
    golden: tuple[Golden, ...] = ()
    settings: dict[str, Any] = {}
    provenance: dict[str, Any] = {}
    evidence: Evidence = Evidence()

    def variant(self, name: str) -> Variant:
        """The variant of that id; raises BundleError naming those there are."""
        for variant in self.variants:
            if variant.id == name:
                return variant
        raise BundleError(f"{self.name} has no variant '{name}'", f"it has {', '.join(v.id for v in self.variants)}")


class _Version(msgspec.Struct):
    schema: int


def encode(manifest: Manifest) -> bytes:
    """The manifest as indented JSON, stable for equal manifests."""
    plain = msgspec.to_builtins(manifest, str_keys=True)  # an ordered JSON object takes no numbers as keys
    return msgspec.json.format(msgspec.json.encode(plain, order="deterministic"), indent=1) + b"\n"


def decode(raw: bytes, where: str) -> Manifest:
    """Read a manifest; `where` names the Bundle in errors.

    Raises:
        BundleError: not JSON, not a manifest, or written by a newer torchport.
    """
    try:
        json.loads(raw, object_pairs_hook=_once)
        version = msgspec.json.decode(raw, type=_Version).schema
    except UNREADABLE as exc:
        raise BundleError(f"{where}: {NAME} is not a manifest ({_said(exc)})", "ask for the Bundle again") from exc
    if version < 1:
        raise BundleError(f"{where}: there is no schema {version}", "ask for the Bundle again")
    if version > SCHEMA:
        raise BundleError(
            f"{where}: made by a newer torchport (schema {version}, this one reads up to {SCHEMA})",
            "pip install --upgrade torchport",
        )
    try:
        return msgspec.json.decode(raw, type=Manifest) if version >= STATELESS else _older(raw)
    except UNREADABLE as exc:
        raise BundleError(
            f"{where}: {NAME} does not follow its schema ({_said(exc)})", "ask for the Bundle again"
        ) from exc


def _once(pairs: list[tuple[str, Any]]) -> None:
    """Refuse an object that has a key twice: readers differ on which of the two counts."""
    keys = [key for key, _ in pairs]
    if len(set(keys)) != len(keys):
        twice = next(key for number, key in enumerate(keys) if key in keys[:number])
        raise ValueError(f"the key '{twice[:60]}' stands twice in one object")


def _older(raw: bytes) -> Manifest:
    """A manifest whose steps still have `state`, which no task ever filled and nothing carried."""
    found = msgspec.json.decode(raw)
    records = found.get("steps") if isinstance(found, dict) else None
    for record in records if isinstance(records, list) else ():
        if isinstance(record, dict) and record.pop("state", {}) != {}:
            raise ValueError("a step carries a state from call to call, which no task does")
    return msgspec.convert(found, Manifest, str_keys=True)


def _said(exc: BaseException) -> str:
    return "".join(c if c.isprintable() else "_" for c in str(exc))[:200] or type(exc).__name__


def json_schema() -> dict[str, Any]:
    """The published JSON Schema of the manifest."""
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "$id": f"urn:torchport:bundle:{SCHEMA}",
        **msgspec.json.schema(Manifest),
    }
