"""Damage Bundles 3,000 times and ask every verb about them: no traceback, no hang, no gigabyte, nothing forbidden
accepted. See README.md.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
from collections import Counter
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE))

from herd import Base, Ended, drive  # noqa: E402 - it lies beside this file

DATA = HERE.parents[1] / "tests/data"
NET = "import torch\n\ndef make():\n    torch.manual_seed(0)\n    return torch.nn.Linear(10, 4)\n"
EYES = """import torch

class Eyes(torch.nn.Module):
    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.see, self.tell = torch.nn.Conv2d(3, 4, 5, stride=4), torch.nn.Linear(4, 3)

    def forward(self, x):
        return self.tell(torch.relu(self.see(x)).mean((2, 3)))
"""


def bases(folder: Path) -> list[Base]:
    """Sound Bundles: those that older versions wrote, and of today a network for tensors, one for pictures, a coded one
    and a zipped one.
    """
    import numpy as np
    from PIL import Image

    folder.mkdir(parents=True, exist_ok=True)
    (folder / "net.py").write_text(NET)
    (folder / "eyes.py").write_text(EYES)
    (folder / "x.json").write_text(json.dumps([[0.5] * 10]))
    (folder / "photos").mkdir(exist_ok=True)
    for i in range(3):
        Image.fromarray(np.random.default_rng(i).integers(0, 255, (40, 50, 3), np.uint8)).save(
            folder / f"photos/p{i}_{i}.png"
        )
    run = [sys.executable, "-m", "torchport"]
    made = {
        "net.tport": [
            "deploy",
            "net.py:make",
            "--task",
            "tensor",
            "--input",
            "input:float32[batch,10]",
            "--targets",
            "onnx,openvino,pt2",
            "--keep",
            "all",
        ],
        "eyes.tport": [
            "deploy",
            "eyes.py:Eyes",
            "--task",
            "image-classification",
            "--set",
            "resize=32",
            "--set",
            "crop=32",
            "--data",
            "photos",
            "--targets",
            "onnx",
        ],
        "small.tport": ["pack", "eyes.tport", "--smallest"],
        "one.tport": ["pack", "net.tport", "--zip"],
    }
    for name, words in made.items():
        if not (folder / name).exists():
            subprocess.run(
                [*run, *words, *(["--recipes", "fp32", "--quick"] if words[0] == "deploy" else []), "-o", name],
                cwd=folder,
                check=True,
                capture_output=True,
            )
    photo, tensor = folder / "photos/p0_0.png", folder / "x.json"
    own = {"net.tport": tensor, "eyes.tport": photo, "small.tport": photo, "one.tport": tensor}
    old = [Base(path, next(DATA.glob(f"{path.stem}.input.*"))) for path in sorted(DATA.glob("*.tport"))]
    return [*(Base(folder / name, item) for name, item in own.items()), *old]


def main() -> int:
    """Run, print what is wrong, write build/damage.json; 1 where anything is wrong."""
    asked = argparse.ArgumentParser(description=__doc__)
    asked.add_argument("--cases", type=int, default=3000)
    asked.add_argument("--seed", type=int, default=0)
    asked.add_argument("--only", type=int, help="one case, by its number")
    asked.add_argument("--workers", type=int, default=min(4, os.cpu_count() or 1))
    asked.add_argument("--folder", type=Path, default=Path("build/damage"))
    given = asked.parse_args()
    os.environ["TORCHPORT_CACHE"] = str(given.folder.resolve() / "cache")
    numbers = list(range(given.cases)) if given.only is None else [given.only]
    rows = drive(numbers, given.seed, bases(given.folder.resolve()), given.workers)
    report(rows, given.folder)
    return int(any(row.wrong for row in rows) or len(rows) < len(numbers))


def report(rows: list[Ended], folder: Path) -> None:
    """What came out, for people and as JSON."""
    for row in rows:
        if row.wrong:
            print(f"WRONG  case {row.number}: {row.kind}, {row.verb}: {row.wrong}; {row.said}")
    (folder / "damage.json").write_text(json.dumps([row._asdict() for row in rows], indent=1))
    print(
        f"{len(rows)} cases: "
        + ", ".join(f"exit {code} {count} times" for code, count in sorted(Counter(row.code for row in rows).items()))
    )
    print(
        f"longest {max(row.seconds for row in rows):.1f} s, most memory {max(row.megabytes for row in rows):.0f} MB, "
        f"wrong {sum(bool(row.wrong) for row in rows)}"
    )


if __name__ == "__main__":
    sys.exit(main())
