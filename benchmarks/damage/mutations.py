"""What a stranger may do to a Bundle: seeded damage to its manifest, its files, its golden vectors, its zip."""

from __future__ import annotations

import hashlib
import json
import os
import random
import shutil
import struct
import warnings
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

NAME = "torchport.json"

POOL: tuple[Any, ...] = (
    None, True, False, -1, 0, 1, 2, 10_000, 10**30, -(2**63), 0.5, -0.0, 1e308, float("1e-320"), "", "x", "x" * 5000,
    "\x1b[31mred", "a\x00b", "../../../etc/passwd",
    "/dev/zero", "torch.hub", "'); import os; ('", "`id`", "\u202eabc", "\ud800", [], {}, [[]], [1, 2, 3], [-1], ["x"],
    {"x": 1}, {"file": "assets/none.json"}, {"fixed": []}, {"fixed": [4, 1]},
)  # fmt: skip


class Case(NamedTuple):
    """A damaged Bundle, what is asked of it, and whether the specification forbids that it is accepted."""

    kind: str
    bundle: Path
    verb: str
    forbidden: bool


def damage(base: Path, folder: Path, dice: random.Random) -> Case:
    """A damaged copy of a Bundle in a folder of its own."""
    if base.is_file():
        copy = folder / "b.tport"
        shutil.copyfile(base, copy)
        kind, forbidden = _zip(copy, dice)
    else:
        copy = folder / "b.tport"
        shutil.copytree(base, copy)
        change = dice.choices(
            [change for change, _ in KINDS.values()], weights=[weight for _, weight in KINDS.values()]
        )[0]
        kind, forbidden = change(copy, dice)
    verb = dice.choices(["inspect", "verify", "predict", "pack", "diff", "bench"], weights=[5, 6, 6, 5, 1, 1])[0]
    if forbidden and kind.startswith(("content", "golden")):
        verb = "verify"
    return Case(kind, copy, verb, forbidden)


def _tree(copy: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((copy / NAME).read_text("utf-8"))
    return found


def _write(copy: Path, tree: Any) -> None:
    (copy / NAME).write_text(json.dumps(tree), "utf-8")


def _places(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """Where every value of a document stands, but for single timings."""
    if "rounds" in path:
        return []
    inner = (
        list(value.items()) if isinstance(value, dict) else list(enumerate(value)) if isinstance(value, list) else []
    )
    return [path, *(place for key, one in inner for place in _places(one, (*path, key)))]


def _at(tree: Any, path: tuple[Any, ...]) -> Any:
    for key in path:
        tree = tree[key]
    return tree


def field(copy: Path, dice: random.Random) -> tuple[str, bool]:
    """One value of the manifest is another, or gone, or there twice; the evidence and free texts more seldom than the
    rest.
    """
    tree = _tree(copy)
    places = [
        place
        for place in _places(tree)
        if place and (place[0] not in ("evidence", "settings", "provenance") or dice.random() < 0.1)
    ]
    *above, key = dice.choice(places)
    holder, how = _at(tree, tuple(above)), dice.choice(["other", "other", "other", "gone", "twice", "swapped"])
    if how == "gone":
        del holder[key]
    elif how == "twice" and isinstance(holder, list):
        holder.append(holder[key])
    elif how == "swapped":
        holder[key] = _at(tree, dice.choice(places))
    else:
        holder[key] = dice.choice(POOL)
    _write(copy, tree)
    return f"field {how}", False


def _first(tree: dict[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = tree["variants"][0]
    return found


def _graph(tree: dict[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = next(iter(_first(tree)["artifact"]["graphs"].values()))
    return found


def _io(tree: dict[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = next(iter(_graph(tree)["io"].values()))
    return found


Change = Callable[[dict[str, Any]], Any]

FORBIDDEN: dict[str, Change] = {
    "schema 0": lambda t: t.update(schema=0),
    "schema -1": lambda t: t.update(schema=-1),
    "schema 99": lambda t: t.update(schema=99),
    "schema true": lambda t: t.update(schema=True),
    "unknown field": lambda t: t.update(more=1),
    "unknown field of a variant": lambda t: _first(t).update(more=1),
    "name with an escape": lambda t: t.update(name="\x1b[31mred"),
    "name with a line end": lambda t: t.update(name="a\nb"),
    "no name": lambda t: t.update(name=""),
    "name without end": lambda t: t.update(name="x" * 5000),
    "import": lambda t: _first(t)["artifact"].update(imports=["this"]),
    "import of the reference": lambda t: t.update(reference={**_first(t)["artifact"], "imports": ["antigravity"]}),
    "threads 0": lambda t: _first(t).update(threads=0),
    "threads 10,000": lambda t: _first(t).update(threads=10_000),
    "threads -1": lambda t: _first(t).update(threads=-1),
    "tolerance without end": lambda t: _first(t).update(tolerance=1e308),
    "tolerance below 0": lambda t: _first(t).update(tolerance=-1.0),
    "two variants of one id": lambda t: t["variants"].append(_first(t)),
    "no variants": lambda t: t.update(variants=[], chosen=None, chosen_for={}),
    "id that climbs": lambda t: _first(t).update(id="../x"),
    "chosen is no variant": lambda t: t.update(chosen="none-such"),
    "chosen for a profile is no variant": lambda t: t["chosen_for"].update(python="none-such"),
    "two files of one path": lambda t: t["files"].append(t["files"][0]),
    "absolute path": lambda t: t["files"][0].update(path="/etc/passwd"),
    "path that climbs": lambda t: t["files"][0].update(path="../x"),
    "path with a dot": lambda t: t["files"][0].update(path="./x"),
    "path with NUL": lambda t: t["files"][0].update(path="a\x00b"),
    "path with a backslash": lambda t: t["files"][0].update(path="a\\b"),
    "path of the manifest": lambda t: t["files"].append({"path": NAME, "size": 1, "sha256": "0" * 64}),
    "path with code": lambda t: t["files"][0].update(path='x"); import os; ("'),
    "path without end": lambda t: t["files"][0].update(path="x" * 5000),
    "size below 0": lambda t: t["files"][0].update(size=-1),
    "size without end": lambda t: t["files"][0].update(size=10**30),
    "other size": lambda t: t["files"][0].update(size=t["files"][0]["size"] + 1),
    "sha256 that is none": lambda t: t["files"][0].update(sha256="0" * 63),
    "sha256 in capitals": lambda t: t["files"][0].update(sha256="A" * 64),
    "file that is not there": lambda t: t["files"].append({"path": "none.txt", "size": 0, "sha256": "0" * 64}),
    "entry that is not listed": lambda t: _graph(t).update(entry="other.onnx"),
    "entry among no files": lambda t: _graph(t).update(files=[]),
    "files named twice": lambda t: _graph(t).update(files=[*_graph(t)["files"], *_graph(t)["files"]]),
    "layout that is no permutation": lambda t: _io(t).update(layout=[0, 0]),
    "layout below 0": lambda t: _io(t).update(layout=[-1, 0]),
    "layout of other axes": lambda t: _io(t).update(layout=[0, 1, 2, 3, 4, 5, 6]),
    "fixed batches that descend": lambda t: _io(t).update(batch={"fixed": [4, 1]}),
    "fixed batches of 0": lambda t: _io(t).update(batch={"fixed": [0]}),
    "no fixed batches": lambda t: _io(t).update(batch={"fixed": []}),
    "batch of another word": lambda t: _io(t).update(batch="some"),
    "max_shape below 0": lambda t: _io(t).update(max_shape=[-1, -1]),
    "max_shape of other axes": lambda t: _io(t).update(max_shape=[1, 2, 3, 4, 5, 6, 7]),
    "dtype that is none": lambda t: _io(t).update(dtype="float33"),
    "dtype of objects": lambda t: next(iter(t["graphs"].values()))["inputs"][0].update(dtype="object"),
    "length below 0": lambda t: next(iter(t["graphs"].values()))["inputs"][0].update(shape=[-1, 10]),
    "graph that nobody describes": lambda t: t["graphs"].clear(),
    "io of fewer tensors": lambda t: _graph(t)["io"].popitem(),
    "io of more tensors": lambda t: _graph(t)["io"].update(more=_io(t)),
    "two steps of one name": lambda t: t["steps"].append(t["steps"][-1]),
    "no steps": lambda t: t.update(steps=[]),
    "step that takes what nobody makes": lambda t: t["steps"][-1].update(inputs={"x": "nobody"}),
    "step that makes no result": lambda t: t["steps"].pop(),
    "golden file that is not listed": lambda t: t["golden"][0].update(path="golden/none.safetensors"),
    "labels of more items": lambda t: t["golden"][0].update(labels=[None] * 99),
    "two golden vectors of one recipe": lambda t: t["golden"].append(t["golden"][0]),
    "budget that cannot be read": lambda t: t.update(budget="accuracy==1"),
    "number without end": lambda t: t["settings"].update(x=10**400),
    "met of another word": lambda t: t.update(met="perhaps"),
}
"""Rules of docs/bundle.md, each broken alone: every verb must refuse the Bundle."""


def rule(copy: Path, dice: random.Random) -> tuple[str, bool]:
    """One rule of the specification is broken."""
    name = dice.choice([*FORBIDDEN])
    tree = _tree(copy)
    FORBIDDEN[name](tree)
    _write(copy, tree)
    return f"rule: {name}", True


def facts(copy: Path, dice: random.Random) -> tuple[str, bool]:
    """A fact of the task is of another kind, gone, or new."""
    tree = _tree(copy)
    known = tree["task"]["facts"]
    key = dice.choice([*known, "max_pixels", "labels", "tokenizer", "top"])
    if dice.random() < 0.15:
        known.pop(key, None)
    else:
        known[key] = dice.choice(POOL)
    _write(copy, tree)
    return "facts", False


def raw(copy: Path, dice: random.Random) -> tuple[str, bool]:
    """The bytes of the manifest: flipped, cut, more of them, or of another kind."""
    path = copy / NAME
    data = bytearray(path.read_bytes())
    how = dice.choice(["flip", "flip", "flip", "cut", "insert", "deep", "blank", "bom", "utf-16", "binary", "empty"])
    if how == "flip":
        for _ in range(dice.choice([1, 1, 3, 20])):
            data[dice.randrange(len(data))] ^= 1 << dice.randrange(8)
    elif how == "cut":
        del data[dice.randrange(len(data)) :]
    elif how == "insert":
        at = dice.randrange(len(data))
        data[at:at] = dice.randbytes(dice.choice([1, 10, 1000]))
    whole = {
        "deep": b'{"schema":3,"name":' + b"[" * 100_000,
        "blank": bytes(data) + b" " * (40 << 20),
        "bom": b"\xef\xbb\xbf" + data,
        "utf-16": data.decode("utf-8", "replace").encode("utf-16"),
    }
    whole |= {"binary": dice.randbytes(5000), "empty": b""}
    path.write_bytes(whole.get(how, bytes(data)))
    return f"raw {how}", how not in ("flip", "insert")


def content(copy: Path, dice: random.Random) -> tuple[str, bool]:
    """A listed file is changed, cut, longer, gone, or something else than a file."""
    path = copy / dice.choice(_tree(copy)["files"])["path"]
    how = dice.choice(["flip", "cut", "longer", "gone", "link", "folder", "fifo", "folder is a link"])
    data = bytearray(path.read_bytes())
    if how == "flip":
        data[dice.randrange(len(data))] ^= 1 << dice.randrange(8)
        path.write_bytes(data)
    elif how == "cut":
        path.write_bytes(data[: dice.randrange(len(data))])
    elif how == "longer":
        path.write_bytes(data + dice.randbytes(10))
    elif how == "folder is a link" and path.parent != copy:
        path.parent.rename(copy.parent / "elsewhere")
        path.parent.symlink_to(copy.parent / "elsewhere")
    else:
        path.unlink()
        if how == "link":
            (copy.parent / "elsewhere").write_bytes(data)
            path.symlink_to(copy.parent / "elsewhere")
        elif how == "folder":
            path.mkdir()
        elif how == "fifo":
            os.mkfifo(path)
    return f"content {how}", True


def lie(copy: Path, dice: random.Random) -> tuple[str, bool]:
    """A file is changed and the manifest tells its new hash: what a maker may do, and the reader must survive."""
    tree = _tree(copy)
    entry = dice.choice([one for one in tree["files"] if "/" in one["path"]])
    path = copy / entry["path"]
    data = bytearray(path.read_bytes())
    if entry["path"].endswith(".safetensors") and dice.random() < 0.7:
        data = bytearray(_golden(bytes(data), dice))
    elif dice.random() < 0.3:
        del data[dice.randrange(len(data)) :]
    else:
        for _ in range(dice.choice([1, 5, 50])):
            data[dice.randrange(len(data))] ^= 1 << dice.randrange(8)
    path.write_bytes(data)
    entry.update(size=len(data), sha256=hashlib.sha256(data).hexdigest())
    if entry.get("coded") and dice.random() < 0.3:
        entry["coded"][dice.choice(["size", "sha256", "path"])] = dice.choice([0, 1 << 40, "0" * 64, "golden/x", -1])
    _write(copy, tree)
    return f"lie {entry['path'].split('/')[0]}", False


def _golden(data: bytes, dice: random.Random) -> bytes:
    """A safetensors file with a key renamed, gone, or of another dtype or shape."""
    size = struct.unpack("<Q", data[:8])[0]
    header = json.loads(data[8 : 8 + size])
    key = dice.choice([one for one in header if one != "__metadata__"])
    how = dice.choice(["gone", "renamed", "dtype", "shape", "offsets"])
    if how == "gone":
        del header[key]
    elif how == "renamed":
        header[dice.choice(["0/calls/x/y", "9/raw", "", "0/in_graph/result", "0/calls/1/model/in/x"])] = header.pop(key)
    elif how == "dtype":
        header[key]["dtype"] = dice.choice(["F64", "U8", "BOOL", "BF16", "I64"])
    elif how == "shape":
        header[key]["shape"] = dice.choice([[], [0], [-1], [1 << 40], [1, 1, 1, 1]])
    else:
        header[key]["data_offsets"] = [0, 1 << 50]
    told = json.dumps(header).encode()
    return struct.pack("<Q", len(told)) + told + data[8 + size :]


KINDS: dict[str, tuple[Callable[[Path, random.Random], tuple[str, bool]], int]] = {
    "field": (field, 8), "rule": (rule, 6), "facts": (facts, 3), "raw": (raw, 3), "content": (content, 3), "lie": (lie,
    4),
}  # fmt: skip


def _zip(path: Path, dice: random.Random) -> tuple[str, bool]:
    """A zipped Bundle: bytes flipped, cut, entries twice, compressed, links."""
    how = dice.choice(["flip", "flip", "cut", "twice", "compressed", "link", "end", "manifest"])
    data = bytearray(path.read_bytes())
    if how == "flip":
        for _ in range(dice.choice([1, 5, 50])):
            data[dice.randrange(len(data))] ^= 1 << dice.randrange(8)
        path.write_bytes(data)
    elif how == "cut":
        path.write_bytes(data[: dice.randrange(len(data))])
    elif how == "end":
        for _ in range(3):
            data[-1 - dice.randrange(200)] = dice.randrange(256)
        path.write_bytes(data)
    else:
        with zipfile.ZipFile(path) as archive:
            names = {name: archive.read(name) for name in archive.namelist()}
        with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED if how == "compressed" else zipfile.ZIP_STORED) as out:
            for name, inside in names.items():
                info = zipfile.ZipInfo(name)
                info.compress_type = out.compression
                info.external_attr = (0o120777 if how == "link" and name != NAME else 0o644) << 16
                out.writestr(
                    info, inside if not (how == "manifest" and name == NAME) else inside[: dice.randrange(len(inside))]
                )
            if how == "twice":
                with warnings.catch_warnings():
                    warnings.simplefilter("ignore")
                    out.writestr(zipfile.ZipInfo(NAME), names[NAME])
    return f"zip {how}", how not in ("flip", "end")
