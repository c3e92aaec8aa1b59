"""Run the fenced blocks of a Markdown file, in order, in one folder, as a reader would.

A block's language says what happens to it:

    bash      a script, run with `bash -euo pipefail`
    console   commands behind `$ `, each followed by what it prints: those lines must come in that order, and `...`
    stands for any text python    a script of its own

Other languages are not run. A comment on the line before a fence changes that for one block:

    <!-- run: file NAME -->     write the block to NAME instead; later blocks use it
    <!-- run: exit N -->        it ends with exit code N
    <!-- run: skip REASON -->   it is not run, and says why

and `<!-- run: needs NAME -->` anywhere before a block puts a sample (see `SAMPLES` in test_docs.py) into the folder.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

RUN = ("bash", "console", "python")
_MARK = re.compile(r"\s*<!-- run: (file|exit|skip|needs) (.+?) -->\s*")
_FENCE = re.compile(r"(\s*)```(\w*)\s*")


@dataclass(frozen=True)
class Block:
    """One fenced block: `line` is its first line in the file, counted from 1; `marks` are the directions before it."""

    line: int
    language: str
    text: str
    marks: dict[str, str]


class BlockError(AssertionError):
    """A block did not do what the page says."""


def parse(page: str) -> Iterator[Block | str]:
    """The blocks of a page in order, and the name of each sample where it is asked for.

    Raises:
        BlockError: a mark that belongs to no block, or a fence that is not closed.
    """
    marks: dict[str, str] = {}
    lines = iter(enumerate(page.splitlines(), 1))
    for number, line in lines:
        if mark := _MARK.fullmatch(line):
            if mark[1] == "needs":
                yield mark[2]
            else:
                marks[mark[1]] = mark[2]
        elif fence := _FENCE.fullmatch(line):
            body = []
            for _, inner in lines:
                if inner.strip() == "```":
                    break
                body.append(inner.removeprefix(fence[1]))
            else:
                raise BlockError(f"line {number}: the block is not closed")
            yield Block(number + 1, fence[2], "\n".join(body) + "\n", marks)
            marks = {}
        elif marks and line.strip():
            raise BlockError(f"line {number}: a block must follow {marks}")


def run(block: Block, folder: Path, commands_in: Path | None = None, python: Sequence[str] = (sys.executable,)) -> None:
    """Do what one block says.

    Args:
        commands_in: where commands are looked for before anywhere else.
        python: what runs a block of Python, before `-c`.

    Raises:
        BlockError: it ended or printed otherwise than the page says.
    """
    if "skip" in block.marks:
        return
    if "file" in block.marks:
        (folder / block.marks["file"]).write_text(block.text, encoding="utf-8")
    elif block.language == "bash":
        _check(block, _start(["bash", "-euo", "pipefail", "-c", block.text], folder, commands_in))
    elif block.language == "python":
        _check(block, _start([*python, "-c", block.text], folder, commands_in))
    elif block.language == "console":
        for command, shown in commands(block.text):
            done = _start(["bash", "-euo", "pipefail", "-c", command], folder, commands_in)
            _check(block, done)
            compare(shown, done.stdout, f"line {block.line}: {command}")


def commands(text: str) -> Iterator[tuple[str, list[str]]]:
    """The commands of a console block, each with the lines it is said to print."""
    for part in re.split(r"^\$ ", text, flags=re.M)[1:]:
        first, *rest = re.sub(r"\\\n>? *", "", part).splitlines()
        yield first, [line for line in rest if line.strip()]


def compare(shown: list[str], printed: str, where: str) -> None:
    """Every shown line is printed, in that order; runs of spaces count as one.

    Raises:
        BlockError: names the first line that is not.
    """
    lines = iter(" ".join(line.split()) for line in printed.splitlines())
    for line in shown:
        pattern = ".*".join(re.escape(part) for part in " ".join(line.split()).split("..."))
        if not any(re.fullmatch(pattern, real) for real in lines):
            raise BlockError(f"{where}\ndoes not print: {line}\nit prints:\n{printed}")


def _start(command: list[str], folder: Path, commands_in: Path | None) -> subprocess.CompletedProcess[str]:
    path = os.pathsep.join(map(str, filter(None, (commands_in, Path(sys.executable).parent, os.environ["PATH"]))))
    return subprocess.run(
        command,
        cwd=folder,
        env={**os.environ, "PATH": path, "PYTHONUTF8": "1"},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )


def _check(block: Block, done: subprocess.CompletedProcess[str]) -> None:
    wanted = int(block.marks.get("exit", "0"))
    if done.returncode != wanted:
        raise BlockError(
            f"line {block.line}: exit code {done.returncode}, the page says {wanted}\n{block.text}\n{done.stdout}"
        )
