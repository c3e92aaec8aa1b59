"""A Bundle whose files are coded: smaller on disk, and the same to whoever opens it."""

from __future__ import annotations

import hashlib
import json
import os
import random
import sys
import time
import tracemalloc
from collections.abc import Iterator
from pathlib import Path

import pytest
import zstandard
from safetensors.numpy import save

from handmade import ROWS, bundle, known
from torchport.bundle import Bundle, coding
from torchport.errors import BundleError, MissingDependency, OutputError
from torchport.jobs.pack import PackOptions, repack, sizes
from torchport.predict import Predictor
from torchport.system import cache
from torchport.testing import FakeTarget
from torchport.verification import verify

VARIANT = "roomy-fp32"
ENTRY = f"variants/{VARIANT}/model.json"
LARGE = 300_000


class Roomy(FakeTarget):
    """A target with one file that codes well, and one that does not."""

    name = "roomy"

    def _export(self, graph, entry, options, parent, note):
        io = super()._export(graph, entry, options, parent, note)
        entry.write_text(entry.read_text() + " " * LARGE)
        entry.with_name("noise.bin").write_bytes(random.Random(0).randbytes(1000))
        return io


@pytest.fixture(autouse=True)
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    monkeypatch.setenv("TORCHPORT_CACHE", str(tmp_path / "cache"))
    with known(Roomy()):
        yield tmp_path / "cache"


@pytest.fixture
def plain(tmp_path: Path, own_cache: Path) -> Path:
    return bundle(tmp_path / "plain.tport", [Roomy()])


@pytest.fixture
def coded(plain: Path, tmp_path: Path) -> Path:
    with Bundle(plain) as opened:
        repack(opened, tmp_path / "net é 猫.tport", PackOptions(smallest=True))
    return tmp_path / "net é 猫.tport"


def contents(folder: Path) -> dict[str, str]:
    return {
        path.relative_to(folder).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def answer(path: Path) -> list[list[float]]:
    with Predictor(path) as predictor:
        return predictor.predict(save({"x": ROWS}))["outputs"]["y"]


def decoded(root: Path) -> list[Path]:
    return sorted((root / "decoded").rglob("*.json"))


def retold(net: Path, **told: object) -> Path:
    """The Bundle with other things told of the coded model file."""
    manifest = json.loads((net / "torchport.json").read_text())
    entry = next(one for one in manifest["files"] if one["coded"] and one["coded"]["path"] == ENTRY)
    stored = (net / entry["path"]).read_bytes()
    entry |= {"size": len(stored), "sha256": hashlib.sha256(stored).hexdigest()}
    entry["coded"] |= told
    (net / "torchport.json").write_text(json.dumps(manifest))
    return net


def test_it_is_smaller_and_answers_the_same(plain: Path, coded: Path, own_cache: Path) -> None:
    before = contents(coded)
    assert answer(coded) == answer(plain)
    assert contents(coded) == before
    assert [path.stat().st_size > LARGE for path in decoded(own_cache)] == [True]
    with Bundle(coded) as opened:
        assert verify(opened).ok
        entry = opened.entries[ENTRY]
        assert (entry.path, entry.size < 1000, entry.content_size > LARGE) == (f"{ENTRY}.zst", True, True)
        assert opened.entries[f"variants/{VARIANT}/noise.bin"].coded is None
        (row,) = sizes(opened.manifest)
        assert row.size_bytes < 3000 and row.decoded_bytes > LARGE
    assert "pip install 'torchport[smallest]'" in (coded / "README.md").read_text()


def test_any_zstd_reads_a_coded_file(plain: Path, coded: Path) -> None:
    assert (
        zstandard.ZstdDecompressor().decompress((coded / f"{ENTRY}.zst").read_bytes()) == (plain / ENTRY).read_bytes()
    )


def test_it_is_decoded_once(coded: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = answer(coded)
    monkeypatch.setattr(coding, "bring", None)
    assert answer(coded) == first


def test_one_file_reads_alike_and_equal_bundles_give_equal_bytes(plain: Path, coded: Path, tmp_path: Path) -> None:
    for name in ("a.tport", "b.tport"):
        with Bundle(plain) as opened:
            repack(opened, tmp_path / name, PackOptions(as_zip=True, smallest=True))
    assert (tmp_path / "a.tport").read_bytes() == (tmp_path / "b.tport").read_bytes()
    assert answer(tmp_path / "a.tport") == answer(coded)
    with Bundle(tmp_path / "a.tport") as opened:
        opened.check_all()


def test_packing_it_again_decodes_it(plain: Path, coded: Path, tmp_path: Path) -> None:
    with Bundle(coded) as opened:
        repack(opened, tmp_path / "again.tport", PackOptions())
    again = contents(tmp_path / "again.tport")
    assert {name: digest for name, digest in contents(plain).items() if "/" in name} == {
        name: digest for name, digest in again.items() if "/" in name
    }


def test_without_a_cache_folder_it_is_decoded_for_the_time_being(coded: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TORCHPORT_CACHE", "off")
    with Bundle(coded) as opened:
        folder = opened.variant_folder(opened.manifest.variant(VARIANT), ["model"])
        assert sorted(path.name for path in folder.iterdir()) == ["model.json", "model.safetensors", "noise.bin"]
    assert not folder.exists()


def test_what_lies_beside_a_temporary_folder_is_nobodys_to_remove(
    coded: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    place = tmp_path / "temporary"
    place.mkdir()
    monkeypatch.setenv("TORCHPORT_CACHE", "off")
    monkeypatch.setattr("tempfile.tempdir", str(place))
    monkeypatch.setattr(cache, "LIMIT_BYTES", 10)
    (place / "mine").mkdir()
    for path in (place / "thesis.docx", place / "mine/notes.txt"):
        path.write_text("mine" * 10)
    for path in (place / "thesis.docx", place / "mine"):
        os.utime(path, (time.time() - 10 * cache.IN_USE_S,) * 2)
    with Bundle(coded) as opened:
        opened.variant_folder(opened.manifest.variant(VARIANT), ["model"])
        opened.check_all()
    cache.settle(place / "mine")
    assert sorted(path.name for path in place.iterdir()) == ["mine", "thesis.docx"]


@pytest.mark.parametrize("change", [lambda path: path.write_text("{}"), lambda path: path.unlink()])
def test_what_somebody_did_to_the_cache_is_mended(coded: Path, own_cache: Path, change) -> None:
    first = answer(coded)
    change(decoded(own_cache)[0])
    assert answer(coded) == first


def older(root: Path, size: int = 1000) -> Path:
    """An entry of another Bundle that nobody asked for lately."""
    other = root / "decoded/older"
    other.mkdir(parents=True)
    (other / "model.json").write_text("x" * size)
    os.utime(other, (time.time() - 2 * cache.IN_USE_S,) * 2)
    return other


def test_the_cache_makes_room(plain: Path, coded: Path, own_cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cache, "LIMIT_BYTES", LARGE + 2000)
    other = older(own_cache, 3000)
    assert answer(coded) == answer(plain)
    assert not other.exists() and decoded(own_cache)


def test_a_bundle_larger_than_the_cache_verifies_and_leaves_the_cache_alone(
    plain: Path, coded: Path, own_cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cache, "LIMIT_BYTES", LARGE // 2)
    other = older(own_cache)
    assert answer(coded) == answer(plain)
    with Bundle(coded) as opened:
        assert verify(opened).ok
    assert decoded(own_cache) == [other / "model.json"]


def test_a_lie_about_the_decoded_size_does_not_empty_the_cache(
    coded: Path, own_cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cache, "LIMIT_BYTES", 2 * LARGE)
    other = older(own_cache)
    with pytest.raises(BundleError, match="damaged"):
        answer(retold(coded, size=2 * LARGE - 100))
    assert other.exists()


def test_a_size_that_no_coded_file_has_is_refused(coded: Path) -> None:
    with pytest.raises(BundleError, match="cannot be a coded file of"):
        Bundle(retold(coded, size=1 << 40))


def test_a_disk_without_room_says_so(coded: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(coding, "bring", full)
    with pytest.raises(OutputError, match="No space left"):
        answer(coded)


def test_a_flipped_byte_is_found_also_where_the_cache_holds_the_right_one(coded: Path, own_cache: Path) -> None:
    answer(coded)
    stored = coded / f"{ENTRY}.zst"
    raw = bytearray(stored.read_bytes())
    raw[len(raw) // 2] ^= 1
    stored.write_bytes(raw)
    with Bundle(coded) as opened, pytest.raises(BundleError, match=r"model\.json\.zst is damaged"):
        opened.check_all()


def other_frames() -> Iterator[object]:
    whole = zstandard.ZstdCompressor().compress(b" " * LARGE)
    yield pytest.param(whole[: len(whole) // 2], "damaged", id="cut off")
    yield pytest.param(b"not zstd at all", "damaged", id="of another kind")
    yield pytest.param(b"", "damaged", id="empty")
    yield pytest.param(zstandard.ZstdCompressor().compress(b"another model"), "damaged", id="of other content")
    yield pytest.param(
        zstandard.ZstdCompressor().compress(bytes(64 << 20)), "holds more than", id="far larger than told"
    )
    far = zstandard.ZstdCompressionParameters.from_level(1, window_log=30)
    writer = zstandard.ZstdCompressor(compression_params=far).compressobj()
    yield pytest.param(
        writer.compress(b" " * LARGE) + writer.flush(), "damaged", id="that asks for a gigabyte of memory"
    )


@pytest.mark.parametrize(("frame", "words"), [*other_frames()])
def test_a_coded_file_that_lies_is_refused_in_little_memory(
    coded: Path, own_cache: Path, frame: bytes, words: str
) -> None:
    (coded / f"{ENTRY}.zst").write_bytes(frame)
    retold(coded)
    tracemalloc.start()
    try:
        with pytest.raises(BundleError, match=words):
            answer(coded)
        assert tracemalloc.get_traced_memory()[1] < 16 << 20
    finally:
        tracemalloc.stop()
    assert not decoded(own_cache) and not list(own_cache.rglob(".new-*"))


def test_an_unknown_coding_is_refused(coded: Path) -> None:
    with pytest.raises(BundleError, match="schema"):
        Bundle(retold(coded, coding="rot13"))


@pytest.mark.parametrize("path", ["../x", "/etc/passwd"])
def test_a_coded_file_stays_inside(coded: Path, path: str) -> None:
    with pytest.raises(BundleError, match="leaves the Bundle"):
        Bundle(retold(coded, path=path))


def test_two_files_of_one_name_are_refused(coded: Path) -> None:
    with pytest.raises(BundleError, match="two files are called"):
        Bundle(retold(coded, path=f"variants/{VARIANT}/model.safetensors"))


def test_what_is_missing_is_the_install_line(
    plain: Path, coded: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "zstandard", None)
    with pytest.raises(MissingDependency, match=r"pip install 'torchport\[smallest\]'"):
        answer(coded)
    with pytest.raises(MissingDependency, match=r"pip install 'torchport\[smallest\]'"), Bundle(plain) as opened:
        repack(opened, tmp_path / "new.tport", PackOptions(smallest=True))
    assert not (tmp_path / "new.tport").exists()
