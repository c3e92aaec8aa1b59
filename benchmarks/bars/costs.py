"""Memory of a large photo, speed of the winner, start-up, the base installation, the demo from a fresh clone."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
import venv
from collections.abc import Sequence
from pathlib import Path

import pictures
import running
from ledger import Ledger
from PIL import Image

ROUNDS = 15
LARGE, SMALL = (4032, 3024), (512, 512)


def memory(ledger: Ledger, bundle: Path, work: Path) -> None:
    """A photo of 12 million pixels, answered by every variant, by the host's preprocessing and by the graph."""
    photo = Image.open(pictures.gather(work / "photos")[10]).convert("RGB")
    large, small = work / "large.jpg", work / "small.jpg"
    photo.resize(LARGE, Image.Resampling.LANCZOS).save(large, quality=90)
    photo.resize(SMALL, Image.Resampling.LANCZOS).save(small, quality=90)
    tops = set()
    for variant in [row["id"] for row in running.command("inspect", bundle)["variants"]]:
        for flags in ((), ("--in-graph",)):
            _, base = running.peak(bundle, variant, small, *flags)
            result, peak = running.peak(bundle, variant, large, *flags)
            tops.add(result["labels"][0]["index"])
            ledger.at_most(
                f"4032x3024, {' '.join((variant, *flags))}, MB above 512x512",
                (peak - base) / 1e6,
                200,
                f"whole process {peak / 1e6:.0f} MB",
            )
    ledger.at_most("4032x3024, different answers", len(tops), 1)


def winner(ledger: Ledger, bundle: Path, work: Path) -> None:
    """The recorded winner of profile `python`, timed again in fresh processes."""
    document = running.command("bench", bundle, "--trust")
    rows = {
        row["id"]: row["latency_ms"]["median"]
        for row in document["candidates"]
        if row["status"] in ("chosen", "ok") and "python" in row["profiles"]
    }
    chosen, eager = document["chosen_for"]["python"], document["reference"]["latency_ms"]
    best = min(rows, key=lambda name: rows[name])
    ledger.at_most(
        f"the winner, {chosen}, against the best of its profile, {best}, times",
        rows[chosen] / rows[best],
        1.1,
        f"{rows[chosen]:.2f} ms / {rows[best]:.2f} ms",
    )
    ledger.at_least(
        f"eager against the winner, {chosen}, times", eager / rows[chosen], 3, f"{eager:.2f} ms / {rows[chosen]:.2f} ms"
    )


def startup(ledger: Ledger, bundle: Path, work: Path) -> None:
    """Whole processes in the environment that runs this, by each variant that can win the profile `python`."""
    variants = [row["id"] for row in running.command("inspect", bundle)["variants"] if "python" in row["profiles"]]
    _startup(ledger, bundle, work, Path(sys.executable), variants)


def _startup(ledger: Ledger, bundle: Path, work: Path, python: Path, variants: Sequence[str], where: str = "") -> None:
    photo = pictures.gather(work / "photos")[0]
    predict: tuple[str | Path, ...] = (python.parent / "torchport", "predict", bundle, photo)
    ours = {"torchport predict": predict} | {
        f"torchport predict --variant {name}": (*predict, "--variant", name) for name in variants
    }
    commands: dict[str, tuple[str | Path, ...]] = {
        "nothing": (python, "-c", "pass"),
        "import": (python, "-c", "import torchport"),
        "bare": (python, running.HERE / "bare.py", bundle / "variants" / "onnx-fp32" / "model.onnx", photo),
    }
    # A variant that was asked for by name is held against its own runtime's script: importing OpenVINO alone takes
    # longer than ONNX Runtime's does.
    with_openvino = [name for name in variants if name.startswith("openvino-")]
    if with_openvino:
        commands["bare OpenVINO"] = (
            python,
            running.HERE / "bare.py",
            bundle / "variants" / with_openvino[0] / "model.xml",
            photo,
        )
    taken = running.medians(commands | ours, ROUNDS)
    ledger.below(f"import torchport{where}, ms beyond bare Python", 1000 * (taken["import"] - taken["nothing"]), 60)
    for name in ours:
        bare = "bare OpenVINO" if "openvino-" in name else "bare"
        ledger.at_most(
            f"{name}{where}, times a {bare} script",
            taken[name] / taken[bare],
            1.5,
            f"{taken[name]:.3f} s / {taken[bare]:.3f} s",
        )


def base(ledger: Ledger, bundle: Path, work: Path) -> None:
    """`pip install .` alone, in a new environment: its size, and what it does without PyTorch."""
    with tempfile.TemporaryDirectory() as folder:
        venv.create(folder, with_pip=True)
        python = Path(folder, "bin", "python")
        subprocess.run(
            [python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", running.ROOT], check=True
        )
        site = next(Path(folder, "lib").glob("python3*/site-packages"))
        size = sum(file.lstat().st_blocks * 512 for file in site.rglob("*") if file.relative_to(site).parts[0] != "pip")
        ledger.below("base installation, MB", size / 1e6, 260)
        ledger.at_most("base installation, PyTorch in it", int((site / "torch").exists()), 0)
        _startup(ledger, bundle, work, python, ["onnx-fp32"], " in the base installation")


def demo(ledger: Ledger, bundle: Path, work: Path) -> None:
    """`make demo` in a fresh clone, its own installation included."""
    with tempfile.TemporaryDirectory() as folder:
        clone = Path(folder, "clone")
        subprocess.run(["git", "clone", "--quiet", running.ROOT, clone], check=True)
        environment = {
            name: value for name, value in os.environ.items() if name not in ("MAKEFLAGS", "MAKELEVEL", "MFLAGS")
        }
        start = time.perf_counter()
        code = subprocess.run(
            ["make", "demo"], cwd=clone, env=environment, stdout=subprocess.DEVNULL, check=False
        ).returncode
        minutes = (time.perf_counter() - start) / 60
        ledger.at_most("make demo in a fresh clone, exit code", code, 0)
        ledger.below("make demo in a fresh clone, minutes", minutes, 8)
