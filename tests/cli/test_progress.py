"""A long command says what each stage took, which row it is at, and that it is alive."""

from __future__ import annotations

import io
import re
import time

import pytest

from torchport.cli.progress import Progress


class Kept(io.StringIO):
    """A stream that is read after it was closed; a terminal if asked to be one."""

    def __init__(self, terminal: bool = False) -> None:
        super().__init__()
        self.terminal = terminal

    def isatty(self) -> bool:
        return self.terminal

    def close(self) -> None:
        pass


def test_a_stage_says_what_it_took_when_it_ends() -> None:
    out = Kept()
    with Progress(out) as progress:
        progress.tell("capture", "net.py:Net")
        progress.tell("export", "onnx-fp32")
        progress.tell("export", "openvino-fp32")
    words = [re.fullmatch(r" +\d+\.\d s  (.*)", line)[1] for line in out.getvalue().splitlines()]
    assert words == ["capture: net.py:Net", "export", "in all"]


def test_a_stage_that_takes_long_names_its_row_and_gives_a_sign_of_life() -> None:
    out = Kept()
    with Progress(out, beat_s=0.05) as progress:
        progress.tell("export", "executorch-fp32")
        until = time.monotonic() + 20
        while "export: executorch-fp32, 0 s ..." not in out.getvalue() and time.monotonic() < until:
            time.sleep(0.01)
    assert "export: executorch-fp32, 0 s ..." in out.getvalue()


def test_a_live_line_is_wiped_before_anything_stays() -> None:
    out = Kept(terminal=True)
    with Progress(out) as progress:
        progress.tell("export", "a\x1b[2Jrow\n" + "x" * 500)
    live, _, ended = out.getvalue().rpartition("\r\x1b[K")
    assert "export: a [2Jrow xxx" in live and max(map(len, live.split("\r"))) < 200
    assert "s  export: a [2Jrow xxx" in ended.splitlines()[0]


def test_what_fails_says_which_stage_did() -> None:
    out = Kept()
    with pytest.raises(ValueError), Progress(out) as progress:
        progress.tell("verify", "onnx-fp32")
        raise ValueError
    assert out.getvalue().endswith("verify: onnx-fp32 (not finished)\n") and "in all" not in out.getvalue()


def test_a_closed_stream_does_not_stop_the_work() -> None:
    out = io.StringIO()
    with Progress(out) as progress:
        out.close()
        progress.tell("verify", "onnx-fp32")
