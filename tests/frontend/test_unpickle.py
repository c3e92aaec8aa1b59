"""Checkpoints are read without running them: what torch and pickle write comes back, and nothing of a hostile file is
called, imported or set.
"""

from __future__ import annotations

import argparse
import collections
import functools
import io
import os
import pathlib
import pickle
import random
import struct
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from torchport.errors import BadInput, UnsafeFile
from torchport.frontend.checkpoint import read
from torchport.frontend.torch_file import unpickle_file

BASE = torch.arange(24.0)
STATE = {
    "float": torch.randn(3, 4),
    "half": torch.randn(5).half(),
    "bfloat16": torch.randn(2, 2).bfloat16(),
    "double": torch.randn(2).double(),
    "complex": torch.randn(2, dtype=torch.complex64),
    "float8": torch.randn(3).to(torch.float8_e4m3fn),
    "uint16": torch.zeros(3, dtype=torch.uint16),
    "integers": torch.arange(5),
    "booleans": torch.tensor([True, False]),
    "scalar": torch.tensor(3.5),
    "empty": torch.empty(0, 3),
    "transposed": torch.randn(4, 6).t(),
    "slice": BASE[2:8],
    "strided": BASE[4:20:3],
    "parameter": torch.nn.Parameter(torch.randn(2)),
}


class Tagged(dict):  # a dict class of the user's own
    pass


def beside() -> dict[str, Any]:
    """What training loops keep beside tensors."""
    return {
        "args": argparse.Namespace(lr=0.1, root=pathlib.PosixPath("/data")),
        "optimizer": functools.partial(torch.optim.Adam, lr=1e-3),
        "best": np.float64(0.5),
        "history": collections.defaultdict(list, {"loss": [1.0, 0.5]}),
        "rng": np.random.default_rng(0).bit_generator.state,
        "device": torch.device("cpu"),
        "dtype": torch.float16,
        "size": torch.Size([1, 2]),
        "many": [
            {1, 2},
            frozenset("a"),
            b"raw",
            bytearray(b"raw"),
            1j,
            2**100,
            -5,
            None,
            True,
            ((1, 2), 3),
            slice(1, 2),
            range(3),
            "é",
        ],
    }


def same(found: dict[str, torch.Tensor], wanted: dict[str, torch.Tensor]) -> None:
    assert list(found) == list(wanted)
    for name, tensor in wanted.items():
        assert found[name].dtype == tensor.dtype and found[name].shape == tensor.shape, name
        assert torch.equal(
            found[name].contiguous().view(-1).view(torch.uint8), tensor.detach().contiguous().view(-1).view(torch.uint8)
        ), name


@pytest.mark.parametrize("protocol", [2, 3, 4, 5])
@pytest.mark.parametrize("archive", [True, False])
def test_whatever_torch_save_writes_is_read(tmp_path: Path, protocol: int, archive: bool) -> None:
    path = tmp_path / "w.pt"
    torch.save(
        {"model": collections.OrderedDict(STATE), "own": Tagged(a=torch.ones(2)), **beside()},
        path,
        pickle_protocol=protocol,
        _use_new_zipfile_serialization=archive,
    )
    found = unpickle_file(path)
    same(found.root["model"], STATE)
    assert torch.equal(found.root["own"].items["a"], torch.ones(2))
    assert found.root["history"] == {"loss": [1.0, 0.5]} and found.root["many"][4:9] == [1j, 2**100, -5, None, True]
    for name in ("argparse.Namespace", "pathlib.PosixPath", "functools.partial", "test_unpickle.Tagged"):
        assert any(one.endswith(name) for one in found.names), found.names


@pytest.mark.parametrize("protocol", range(6))
def test_plain_pickles_of_tensors_and_of_arrays_are_read(tmp_path: Path, protocol: int) -> None:
    path = tmp_path / "w.pkl"
    path.write_bytes(pickle.dumps(STATE, protocol=protocol))
    same(read(path).tensors, STATE)
    path.write_bytes(
        pickle.dumps(
            {"net": {"w": np.arange(6, dtype="f4").reshape(2, 3), "f": np.asfortranarray(np.ones((2, 2), "i8"))}},
            protocol=protocol,
        )
    )
    found = read(path)
    assert (
        torch.equal(found.tensors["net.w"], torch.arange(6.0).reshape(2, 3))
        and found.tensors["net.f"].dtype == torch.int64
    )
    assert found.objects == ()


def test_tied_tensors_stay_one(tmp_path: Path) -> None:
    one = torch.randn(3)
    torch.save({"a": one, "b": one, "c": one[1:]}, tmp_path / "w.pt")
    found = read(tmp_path / "w.pt").tensors
    assert found["a"].data_ptr() == found["b"].data_ptr() and found["c"].data_ptr() == found["a"].data_ptr() + 4


# Hostile files. Each would leave a mark if any of it ran.


class Calls:
    """A pickle that calls a function as it is opened."""

    def __init__(self, function: Callable[..., Any], *args: Any) -> None:
        self.call = function, args

    def __reduce__(self) -> tuple[Callable[..., Any], tuple[Any, ...]]:
        return self.call


class Sets:
    """A pickle that sets attributes of what a function gives, through __setstate__ or its dict."""

    def __init__(self, function: Callable[..., Any], args: tuple[Any, ...], state: Any) -> None:
        self.call = function, args, state

    def __reduce__(self) -> tuple[Callable[..., Any], tuple[Any, ...], Any]:
        return self.call


def attacks(mark: Path) -> dict[str, Any]:
    code = f"open({str(mark)!r}, 'w')"
    return {
        "os.system": Calls(os.system, f"touch {mark}"),
        "eval": Calls(eval, code),
        "exec": Calls(exec, code),
        "import": Calls(__import__, "antigravity"),
        "open": Calls(open, str(mark), "w"),
        "getattr": Calls(getattr, Calls(__import__, "os"), "system"),
        "partial": Calls(functools.partial, os.system, f"touch {mark}"),
        "map": Calls(list, Calls(map, eval, [code])),
        "torch.load": Calls(torch.load, str(mark)),
        "torch.save": Calls(torch.save, 1, str(mark)),
        "torch.hub": Calls(torch.hub.load_state_dict_from_url, "http://localhost/x"),
        "state": Sets(argparse.Namespace, (), {"__class__": Calls(os.system, f"touch {mark}")}),
        "ordered": Sets(collections.OrderedDict, (), {"__class__": "x", "items": Calls(os.system, f"touch {mark}")}),
        "bytes": Calls(torch.storage._load_from_bytes, pickle.dumps(Calls(os.system, f"touch {mark}"))),
        "subclass": Calls(torch._tensor._rebuild_from_type_v2, os.system, torch.Tensor, (f"touch {mark}",), {}),
        "tensor": Calls(torch.Tensor.numpy, torch.ones(1)),
        "path": Calls(pathlib.Path.write_text, mark, "x"),
        "numpy": Calls(np.save, str(mark), np.ones(1)),
    }


@pytest.mark.parametrize("name", attacks(Path("/tmp/x")))
@pytest.mark.parametrize("form", ["archive", "older", "plain", "text"])
def test_nothing_of_a_hostile_file_runs(tmp_path: Path, name: str, form: str) -> None:
    mark, path = tmp_path / "owned", tmp_path / "evil.pt"
    thing = {"model": {"w": torch.ones(2)}, "more": attacks(mark)[name]}
    if form in ("archive", "older"):
        torch.save(thing, path, _use_new_zipfile_serialization=form == "archive")
    else:
        path.write_bytes(pickle.dumps(thing, protocol=0 if form == "text" else 4))
    before = set(sys.modules)
    try:
        found = read(path)
        assert list(found.tensors) == ["model.w"] and found.objects
    except UnsafeFile as exc:
        assert "\n" not in exc.message and "torch.save(model.state_dict()" in exc.hint
    assert list(tmp_path.iterdir()) == [path] and "antigravity" not in sys.modules and not set(sys.modules) - before


def archived(content: bytes, storages: dict[str, bytes]) -> bytes:
    raw = io.BytesIO()
    with zipfile.ZipFile(raw, "w", zipfile.ZIP_STORED) as archive:
        archive.writestr("w/data.pkl", content)
        for key, numbers in storages.items():
            archive.writestr(f"w/data/{key}", numbers)
    return raw.getvalue()


STORAGE = b"(X\x07\x00\x00\x00storagectorch\nFloatStorage\nX\x01\x00\x00\x000X\x03\x00\x00\x00cpuK\x04tQ"
SIZED = b"\x80\x02}X\x01\x00\x00\x00wctorch._utils\n_rebuild_tensor_v2\n(%s%s(%st(%st\x89}tRs."


@pytest.mark.parametrize(
    ("offset", "size", "stride"),
    [
        (b"K\x00", b"K\x05", b"K\x01"),
        (b"K\x04", b"K\x01", b"K\x01"),
        (b"J\xff\xff\xff\xff", b"K\x01", b"K\x01"),
        (b"K\x00", b"J\xfe\xff\xff\xff", b"K\x01"),
        (b"K\x00", b"K\x04", b"J\xff\xff\xff\xff"),
        (b"K\x00", b"J\xff\xff\xff\x7f", b"K\x00"),
        (b"K\x00", b"K\x02K\x02", b"K\x01"),
        (b"K\x00", b"X\x01\x00\x00\x00a", b"K\x01"),
        (b"K\x00", b"\x8a\x08" + struct.pack("<q", 2**61), b"K\x01"),
        (b"\x88", b"K\x01", b"K\x01"),
    ],
)
def test_tensors_that_reach_beyond_the_file_are_refused(
    tmp_path: Path, offset: bytes, size: bytes, stride: bytes
) -> None:
    path = tmp_path / "w.pt"
    path.write_bytes(archived(SIZED % (STORAGE, b"K\x01", b"K\x03", b"K\x01"), {"0": bytes(16)}))
    assert read(path).tensors["w"].shape == (3,)
    path.write_bytes(archived(SIZED % (STORAGE, offset, size, stride), {"0": bytes(16)}))
    with pytest.raises(BadInput, match=r"w\.pt"):
        read(path)


HOSTILE = {
    "attributes of a class": b"cargparse\nNamespace\n}X\x01\x00\x00\x00aK\x01sb.",
    "attributes of a function": b"ctorch._utils\n_rebuild_tensor_v2\n}X\x0b\x00\x00\x00__globals__}sb.",
    "attributes by slots": b"cargparse\nNamespace\nN}X\x08\x00\x00\x00__init__K\x01s\x86b.",
    "attributes of a list": b"]}b.",
    "a call of a text": b"X\x01\x00\x00\x00a)R.",
    "a call of an object": b"cargparse\nNamespace\n)\x81)R.",
    "a class named by numbers": b"\x80\x04K\x01K\x02\x93.",
    "a registered extension": b"\x82\x01.",
    "a buffer elsewhere": b"\x80\x05\x97.",
    "an entry of a number": b"K\x01X\x01\x00\x00\x00aK\x02s.",
    "an unknown memo": b"h\x05.",
    "no mark": b"t.",
    "an empty stack": b"0.",
    "a storage that is not there": b"\x80\x02" + STORAGE + b".",
    "another reference": b"X\x04\x00\x00\x00filQ.",
    "keys without an end": b"}" + b")" + b"\x85" * 200_000 + b"K\x01s.",
    "lists without an end": b"]" * 100_000 + b"a" * 99_999 + b".",
    "itself": b"}q\x00X\x01\x00\x00\x00ah\x00s.",
    "a long text": b"X\xff\xff\xff\x7f.",
    "many bytes": b"\x80\x04\x8e" + struct.pack("<Q", 2**62) + b".",
}


@pytest.mark.parametrize("name", HOSTILE)
@pytest.mark.parametrize("form", ["archive", "plain"])
def test_hostile_operations_are_refused_in_a_line(tmp_path: Path, name: str, form: str) -> None:
    path, raw = (
        tmp_path / "evil.pt",
        HOSTILE[name] if HOSTILE[name].startswith(b"\x80") else b"\x80\x02" + HOSTILE[name],
    )
    path.write_bytes(archived(raw, {}) if form == "archive" else raw)
    before = argparse.Namespace.__init__, torch._utils._rebuild_tensor_v2.__globals__
    with pytest.raises(BadInput, match=r"evil\.pt") as caught:
        read(path)
    assert "\n" not in str(caught.value) and len(str(caught.value)) < 500
    assert (argparse.Namespace.__init__, torch._utils._rebuild_tensor_v2.__globals__) == before and not hasattr(
        argparse.Namespace, "a"
    )


def test_an_archive_that_unpacks_to_far_more_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "w.pt"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("w/data.pkl", b"\x80\x02}.")
        archive.writestr("w/data/0", bytes(2**26))
    with pytest.raises(BadInput, match="unpacks to far more than it holds"):
        read(path)


def test_damaged_checkpoints_are_refused_in_a_line(tmp_path: Path) -> None:
    dice, path, goods = random.Random(0), tmp_path / "w.pt", []
    for archive in (True, False):
        torch.save({"m": torch.nn.Linear(3, 2).state_dict(), **beside()}, path, _use_new_zipfile_serialization=archive)
        goods.append(path.read_bytes())
    for _ in range(400):
        raw = bytearray(dice.choice(goods))
        for _ in range(dice.choice([1, 1, 3, 20])):
            at = dice.randrange(len(raw))
            raw[at : at + dice.randrange(3)] = dice.randbytes(dice.randrange(4))
        path.write_bytes(raw)
        try:
            assert all(isinstance(tensor, torch.Tensor) for tensor in read(path).tensors.values())
        except BadInput as exc:
            assert "\n" not in str(exc) and len(str(exc)) < 500


def test_names_of_a_file_reach_no_terminal_raw(tmp_path: Path) -> None:
    torch.save({"\x1b[2J\x1b]0;x\x07w\n\u202e" + "a" * 500: torch.ones(1)}, tmp_path / "w.pt")
    from torchport.frontend.matching import described, listed

    found = read(tmp_path / "w.pt")
    assert listed(found.tensors).isprintable() and len(listed(found.tensors)) <= 80 and described(found).isprintable()
