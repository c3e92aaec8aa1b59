"""Child processes: the command line, a variant's graphs on given tensors, and the peak memory of a whole process."""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from safetensors.numpy import load_file, save_file

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
TORCHPORT = [sys.executable, "-m", "torchport"]


def command(*words: str | Path) -> Any:
    """The JSON document that a verb prints.

    Raises:
        subprocess.CalledProcessError: it ended with another exit code than 0; what it said is shown.
    """
    return json.loads(_output([*TORCHPORT, *map(str, words), "--json"]))


def stages(bundle: Path, variant: str, tensors: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """What the graphs of one variant answer in a process of their own; see `stages.py` for the names of the tensors."""
    with tempfile.TemporaryDirectory() as folder:
        given, made = Path(folder, "given.safetensors"), Path(folder, "made.safetensors")
        save_file({name: np.ascontiguousarray(array) for name, array in tensors.items()}, given)
        _output([sys.executable, str(HERE / "stages.py"), str(bundle), variant, str(given), str(made)])
        return dict(load_file(made))


def outputs(bundle: Path, variant: str, files: Sequence[Path], *flags: str) -> tuple[list[dict[str, Any]], np.ndarray]:
    """`torchport predict` on some files: its results, and the model's raw outputs [file, class]."""
    with tempfile.TemporaryDirectory() as folder:
        saved = Path(folder, "outputs.safetensors")
        document = command("predict", bundle, *files, "--variant", variant, "--trust", "--save-outputs", saved, *flags)
        arrays = {int(name.partition("/")[0]): array for name, array in load_file(saved).items()}
    return document["results"], np.concatenate([arrays[i] for i in range(len(files))])


def peak(bundle: Path, variant: str, file: Path, *flags: str) -> tuple[dict[str, Any], int]:
    """One file's result, and the peak resident memory in bytes of the whole process that answered it."""
    words = [*TORCHPORT, "predict", str(bundle), str(file), "--variant", variant, "--trust", "--json", *flags]
    said = json.loads(_output([sys.executable, str(HERE / "peak.py"), *words]))
    result: dict[str, Any] = json.loads(said["output"])["results"][0]
    return result, said["peak_bytes"]


def medians(commands: Mapping[str, Sequence[str | Path]], rounds: int) -> dict[str, float]:
    """Median seconds of whole processes, one run of each a round, after a round that is not counted."""
    times: dict[str, list[float]] = {name: [] for name in commands}
    for _ in range(rounds + 1):
        for name, words in commands.items():
            start = time.perf_counter()
            _output(list(map(str, words)))
            times[name].append(time.perf_counter() - start)
    return {name: statistics.median(taken[1:]) for name, taken in times.items()}


def _output(words: Sequence[str]) -> str:
    try:
        return subprocess.run(words, check=True, capture_output=True, text=True).stdout
    except subprocess.CalledProcessError as exc:
        print(exc.stderr, file=sys.stderr)
        raise
