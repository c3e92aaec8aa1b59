"""Each case in a process of its own, forked from one in which everything is loaded: a thousand cases take a minute or
two.
"""

from __future__ import annotations

import json
import os
import random
import resource
import shutil
import signal
import sys
import tempfile
import time
import traceback
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

from mutations import Case, damage

LIMIT_S = 20
"""Seconds that a case may take where nobody else uses the machine; longer by as much as more processes want to run than
there are cores.
"""

MEMORY = 1 << 30
REFUSED = (3, 5, 6)
ACCEPTED = (0, 3, 4, 5, 6)


class Base(NamedTuple):
    """A sound Bundle, and an input that it answers."""

    bundle: Path
    item: Path


class Ended(NamedTuple):
    """How one case ended; `wrong` is empty where all is as it should be."""

    number: int
    kind: str
    verb: str
    code: int
    seconds: float
    megabytes: float
    wrong: str
    said: str


def arguments(case: Case, base: Base, folder: Path, dice: random.Random) -> list[str]:
    """The command line of a case."""
    more = {
        "inspect": ["--full"] if dice.random() < 0.5 else [],
        "verify": [],
        "predict": [str(base.item)],
        "pack": ["-o", str(folder / "out.tport"), *dice.choice([[], ["--zip"], ["--smallest"], ["--golden", "1"]])],
        "diff": [str(base.bundle)],
        "bench": ["--quick"],
    }
    return ["torchport", case.verb, str(case.bundle), *more[case.verb], *(["--json"] if dice.random() < 0.4 else [])]


def one(number: int, seed: int, bases: Sequence[Base]) -> Ended:
    """Damage a Bundle, ask something of it in a child, and judge how that ended."""
    dice = random.Random(f"{seed}/{number}")  # noqa: S311 - damage, not secrets
    base = dice.choice(bases)
    folder = Path(tempfile.mkdtemp(prefix="damage-"))
    try:
        case = damage(base.bundle, folder, dice)
        command = arguments(case, base, folder, dice)
        start = time.monotonic()
        pid = os.fork()
        if pid == 0:
            _child(command, folder)
        code, usage = _wait(pid, start + LIMIT_S * max(1.0, os.getloadavg()[0] / (os.cpu_count() or 1)))
        seconds, megabytes = time.monotonic() - start, usage.ru_maxrss / 1024
        said = (folder / "err").read_text("utf-8", "replace")
        printed = (folder / "out").read_text("utf-8", "replace")
        wrong = judge(case, code, megabytes, said, printed)
        return Ended(
            number,
            case.kind,
            case.verb,
            code,
            seconds,
            megabytes,
            wrong,
            said.strip().splitlines()[-1][:300] if said.strip() else "",
        )
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def judge(case: Case, code: int, megabytes: float, said: str, printed: str) -> str:
    """What is wrong with how a case ended; empty where nothing is."""
    if code == -signal.SIGKILL:
        return "hangs"
    if code < 0:
        return f"killed by {signal.Signals(-code).name}"
    if "Traceback" in said + printed or code == 1:
        return "traceback"
    if megabytes > MEMORY >> 20:
        return f"took {megabytes:.0f} MB"
    if "\x1b" in said + printed:
        return "an escape sequence reached the terminal"
    if case.forbidden and code not in REFUSED:
        return f"accepted (exit {code}) what the specification forbids"
    return "" if code in ACCEPTED else f"exit {code}"


def _child(command: list[str], folder: Path) -> None:
    try:
        os.setsid()
        resource.setrlimit(resource.RLIMIT_AS, (32 << 30, 32 << 30))
        for number, name in ((1, "out"), (2, "err")):
            os.dup2(os.open(folder / name, os.O_WRONLY | os.O_CREAT, 0o600), number)
        os.chdir(folder)
        sys.argv = command
        from torchport.cli import main

        main()
        os._exit(0)
    except SystemExit as exc:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(exc.code if isinstance(exc.code, int) else 1)
    except BaseException:
        traceback.print_exc()
        sys.stderr.flush()
        os._exit(1)


def _wait(pid: int, until: float) -> tuple[int, Any]:
    while True:
        done, status, usage = os.wait4(pid, os.WNOHANG)
        if done:
            return os.waitstatus_to_exitcode(status), usage
        if time.monotonic() > until:
            os.killpg(pid, signal.SIGKILL)
            _, status, usage = os.wait4(pid, 0)
            return os.waitstatus_to_exitcode(status), usage
        time.sleep(0.005)


def preload() -> None:
    """Load what the verbs load, so that a forked child starts at once."""
    import torchport.cli.shared
    import torchport.jobs.bench
    import torchport.jobs.diff
    import torchport.jobs.pack
    import torchport.predict
    import torchport.verification  # noqa: F401

    for name in ("onnxruntime", "zstandard", "PIL.Image", "safetensors.numpy", "tokenizers"):
        try:
            __import__(name)
        except ImportError:
            continue


def drive(numbers: Sequence[int], seed: int, bases: Sequence[Base], workers: int) -> list[Ended]:
    """All cases, by so many workers at once."""
    preload()
    files = []
    pids = []
    for worker in range(workers):
        out = Path(tempfile.mkstemp(prefix="damage-", suffix=".jsonl")[1])
        files.append(out)
        with warnings.catch_warnings():
            warnings.simplefilter(
                "ignore", DeprecationWarning
            )  # Python 3.12 warns of threads, of which there are none yet
            pid = os.fork()
        if pid == 0:
            with out.open("w", encoding="utf-8") as lines:
                for number in numbers[worker::workers]:
                    lines.write(json.dumps(one(number, seed, bases)) + "\n")
                    lines.flush()
            os._exit(0)
        pids.append(pid)
    for pid in pids:
        os.waitpid(pid, 0)
    rows = [Ended(*json.loads(line)) for out in files for line in out.read_text("utf-8").splitlines()]
    for out in files:
        out.unlink()
    return sorted(rows)
