from __future__ import annotations

import hashlib
import os
from pathlib import Path

import pytest

from torchport.system import cache


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("TORCHPORT_CACHE", str(tmp_path / "kept"))
    return tmp_path / "kept"


def put(path: Path, content: bytes) -> None:
    scratch = cache.scratch(path)
    assert scratch is not None
    scratch.write_bytes(content)
    cache.publish(scratch, path)


def test_folder_follows_the_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.delenv("TORCHPORT_CACHE")
    assert cache.folder() == tmp_path / "torchport"
    monkeypatch.setenv("TORCHPORT_CACHE", str(tmp_path / "mine"))
    assert cache.folder() == tmp_path / "mine"
    monkeypatch.setenv("TORCHPORT_CACHE", "off")
    assert cache.folder() is None
    assert cache.entry("kind", "key") is None


def test_folder_is_in_the_home_folder_where_nothing_else_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("TORCHPORT_CACHE", "XDG_CACHE_HOME", "LOCALAPPDATA"):
        monkeypatch.delenv(name, raising=False)
    assert cache.folder() == Path.home() / ".cache" / "torchport"


def test_entry_depends_on_every_part_of_the_key(root: Path) -> None:
    entries = {
        cache.entry("kind", "ab", "c"),
        cache.entry("kind", "a", "bc"),
        cache.entry("kind", "ab"),
        cache.entry("other", "ab", "c"),
    }
    assert len(entries) == 4
    assert not root.exists()


def test_publish_makes_the_whole_file_appear(root: Path) -> None:
    entry = cache.entry("kind", "key", suffix=".bin")
    assert entry is not None
    put(entry, b"first")
    put(entry, b"second")
    assert entry.read_bytes() == b"second"
    assert list(entry.parent.iterdir()) == [entry]


def test_publish_drops_what_cannot_be_put_in_place(root: Path) -> None:
    entry = cache.entry("kind", "key")
    assert entry is not None
    entry.mkdir(parents=True)  # something else is in the way
    put(entry, b"content")
    assert list(entry.parent.iterdir()) == [entry]


def test_scratch_is_none_where_the_folder_cannot_be_made(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("TORCHPORT_CACHE", str(tmp_path / "file"))
    entry = cache.entry("kind", "key")
    assert entry is not None
    assert cache.scratch(entry) is None


def test_the_least_recently_used_entries_make_room(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cache, "LIMIT_BYTES", 25)
    old, used, new = (cache.entry("kind", name) for name in ("old", "used", "new"))
    assert old and used and new
    for age, path in ((300, used), (200, old)):
        put(path, b"0123456789")
        os.utime(path, (path.stat().st_mtime - age,) * 2)
    cache.entry("kind", "used")
    put(new, b"0123456789")
    assert (old.exists(), used.exists(), new.exists()) == (False, True, True)


def test_digest_is_sha256_and_follows_the_content(tmp_path: Path) -> None:
    path = tmp_path / "file"
    for content in (b"one", b"other"):
        path.write_bytes(content)
        assert cache.digest(path) == hashlib.sha256(content).hexdigest()
    with pytest.raises(FileNotFoundError):
        cache.digest(tmp_path / "none")
