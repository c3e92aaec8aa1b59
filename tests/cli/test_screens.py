"""What people see, at 80, 120 and 200 columns and in a pipe, kept as it was looked at.

`TORCHPORT_SCREENS=write` writes the kept screens anew; look at them before they are committed.
"""

from __future__ import annotations

import contextlib
import io
import os
import pty
import re
import struct
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from screen_samples import deployed, optimised, supported

from torchport.cli import deploy, main
from torchport.cli.layout import Column, fold, table, wide
from torchport.deployment.request import Request
from torchport.jobs import doctor

SCREENS = Path(__file__).parent / "screens"
OLD = Path(__file__).parents[1] / "data/schema1.tport"
WIDTHS = {"80": "80", "120": "120", "200": "200", "pipe": ""}
"""What a screen is called, and `COLUMNS`; in a pipe nobody says how wide it is."""


def verb(*words: str) -> None:
    with pytest.MonkeyPatch.context() as patch, pytest.raises(SystemExit) as left:
        patch.setattr(sys, "argv", ["torchport", *words])
        main(ends=False)
    assert not left.value.code


def targets_screen() -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(doctor, "target_rows", supported)
        verb("targets")


def optimize_screen() -> None:
    made = optimised()
    assert made.bundle
    deploy.finish(made, Request("net.py:Net", made.bundle, data=Path("tests/data"), recipes=["auto"]), as_json=False)


SHOWN: dict[str, Callable[[], None]] = {
    "targets": targets_screen,
    "deploy": lambda: deploy.finish(
        deployed(), Request("net.py:Net", Path("net.tport"), inputs=["x:float32[batch,10]"]), as_json=False
    ),
    "optimize": optimize_screen,
    "tasks": lambda: verb("tasks"),
    "tasks-image-classification": lambda: verb("tasks", "image-classification"),
    "inspect": lambda: verb("inspect", os.path.relpath(OLD)),
    "help": lambda: verb("--help"),
}


@pytest.mark.parametrize("width", WIDTHS)
@pytest.mark.parametrize("name", SHOWN)
def test_a_screen_is_as_it_was_looked_at(name: str, width: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(OLD.parents[2])
    monkeypatch.setenv("COLUMNS", WIDTHS[width])
    out = io.StringIO()
    with contextlib.redirect_stdout(out):
        SHOWN[name]()
    text, kept = out.getvalue(), SCREENS / f"{name}.{width}.txt"
    if os.environ.get("TORCHPORT_SCREENS") == "write":
        SCREENS.mkdir(exist_ok=True)
        kept.write_text(text, encoding="utf-8")
    assert text == kept.read_text("utf-8")
    if WIDTHS[width]:
        assert [line for line in text.splitlines() if wide(line) > int(width) and not line.startswith("next:")] == []


@pytest.mark.parametrize("width", ["80", "120", "200"])
def test_names_figures_and_verdicts_are_never_cut(width: str) -> None:
    for made, name in ((deployed(), "deploy"), (optimised(), "optimize")):
        first = [
            line for line in (SCREENS / f"{name}.{width}.txt").read_text("utf-8").splitlines() if line[:1].isalnum()
        ]
        for c in made.choice.candidates:
            lines = [line for line in first if line.split("  ")[0] == c.id]
            assert len(lines) == 1 and c.word in lines[0], c.id
        assert "\N{HORIZONTAL ELLIPSIS}" not in "".join(first)


def test_every_status_is_a_word_of_its_own_with_its_reason() -> None:
    text = (SCREENS / "deploy.pipe.txt").read_text("utf-8")
    said = {line.split()[0]: line for line in text.splitlines() if line[:1].isalpha()}
    words = {
        "openvino-int8_weights": "rejected",
        "pt2-fp32": "failed",
        "torchscript-int8_static": "not tried",
        "onnx-sparse": "same as fp32",
        "openvino-fp32": "chosen",
        "onnx-fp32": "ok",
    }
    for c in deployed().choice.candidates:
        assert (c.reason or "") in said[c.id]
        assert words.get(c.id, c.word) in said[c.id]


@pytest.mark.parametrize("columns", [80, 120])
def test_a_terminal_shows_the_same_as_the_kept_screen(columns: int) -> None:
    """A real terminal of that width, which nothing but itself tells."""
    import fcntl
    import termios

    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 50, columns, 0, 0))
    environment = {key: value for key, value in os.environ.items() if key not in ("COLUMNS", "LINES")}
    command = [sys.executable, "-m", "torchport", "tasks", "image-classification"]
    child = subprocess.Popen(command, stdout=theirs, stderr=subprocess.DEVNULL, stdin=theirs, env=environment)
    os.close(theirs)
    parts = []
    with contextlib.suppress(OSError):  # the end of a terminal is an error on Linux
        while part := os.read(ours, 65536):
            parts.append(part)
    os.close(ours)
    assert child.wait(60) == 0
    shown = b"".join(parts).decode().replace("\r\n", "\n")
    assert shown == (SCREENS / f"tasks-image-classification.{columns}.txt").read_text("utf-8")


def test_cells_are_wide_where_their_characters_are_and_never_move_the_cursor() -> None:
    lines = table(
        [Column("name", kept=True), Column("n", kept=True, right=True)], [["模型", "1"], ["a\x1b[2Jb", "22"]], 80
    ).splitlines()
    assert wide("模型") == 4 and wide("e\u0301") == 1
    assert {wide(line) for line in lines} == {len("a [2Jb") + 2 + 2 + 0} or not re.search(
        r"[\x00-\x1f]", "".join(lines)
    )
    assert all(wide(line) <= 20 for line in fold("很" * 50, 20))
