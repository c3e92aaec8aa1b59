"""What the watch over a child sees, in Python and in native code."""

from __future__ import annotations

import ctypes
import platform
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from torchport.errors import BadInput
from torchport.testing.offline import outside

LINUX = pytest.mark.skipif(
    sys.platform != "linux" or platform.machine() not in ("x86_64", "aarch64"), reason="the kernel watches on Linux"
)


def in_python() -> None:
    socket.getaddrinfo("localhost", 80)


def in_native_code() -> None:
    ctypes.CDLL(None).socket(socket.AF_INET, socket.SOCK_STREAM, 0)


def in_a_process_of_its_own() -> None:
    subprocess.run([sys.executable, "-c", "import socket; socket.socket()"], check=True)


def installer_by_python() -> None:
    subprocess.run([sys.executable, "-m", "pip", "--version"], capture_output=True, check=True)


def installer_by_native_code() -> None:
    ctypes.CDLL(None).system(b"pip --version")


def neither() -> None:
    socket.socket(socket.AF_UNIX).close()
    subprocess.run([sys.executable, "-c", "pass"], check=True)


@pytest.mark.parametrize(
    "work",
    [
        in_python,
        pytest.param(in_native_code, marks=LINUX),
        pytest.param(in_a_process_of_its_own, marks=LINUX),
        installer_by_python,
        installer_by_native_code,
    ],
)
def test_what_leaves_this_machine_is_seen(work: object, tmp_path: Path) -> None:
    assert outside(work, tmp_path)  # type: ignore[arg-type]


def test_what_keeps_to_itself_is_not(tmp_path: Path) -> None:
    assert outside(neither, tmp_path) == []


def test_what_the_work_raises_comes_back(tmp_path: Path) -> None:
    def work() -> None:
        raise BadInput("an error of its own")

    with pytest.raises(BadInput, match="an error of its own"):
        outside(work, tmp_path)
