"""Files are written whole or not at all."""

from __future__ import annotations

import resource
from pathlib import Path

import pytest

from torchport.errors import OutputError
from torchport.system.disk import write_file


def test_a_file_is_written_whole_or_not_at_all(tmp_path: Path) -> None:
    path = tmp_path / "kept.bin"
    write_file(path, b"before")
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, before[1]))  # stands for a full disk
    try:
        with pytest.raises(OutputError, match=r"cannot write kept\.bin: the disk is full; free some space"):
            write_file(path, bytes(100_000))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert path.read_bytes() == b"before"
    assert list(tmp_path.iterdir()) == [path]
    with pytest.raises(OutputError, match="No such file"):
        write_file(tmp_path / "missing" / "file", b"")
