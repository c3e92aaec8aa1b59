"""How often `torchport debug` names the layer that a fault was planted in: `benchmarks/debug BUNDLE [--count 20]`."""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
from pathlib import Path

from mutants import mutants

from torchport.bundle import Bundle
from torchport.errors import TorchportError
from torchport.jobs.debug import debug


def main() -> int:
    """Print a line a mutant; exit code 1 where fewer than 95 in 100 were named."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("bundle", type=Path)
    parser.add_argument("--variant", default="onnx-fp32")
    parser.add_argument("--graph", default="model")
    parser.add_argument("--count", type=int, default=20)
    parser.add_argument("--json", type=Path)
    given = parser.parse_args()
    rows = []
    with tempfile.TemporaryDirectory() as scratch:
        for kind, where, copy in mutants(given.bundle, given.variant, Path(scratch), given.count, given.graph):
            start = time.monotonic()
            try:
                with Bundle(copy) as opened:
                    found, _ = debug(opened, variant=given.variant)
                named, said = found.layer, found.said
            except TorchportError as exc:
                named, said = None, str(exc)
            seconds = time.monotonic() - start
            rows.append({"kind": kind, "planted": where, "named": named, "seconds": round(seconds, 1), "said": said})
            print(f"{'ok  ' if named == where else 'MISS'} {kind:16} planted in {where}, {seconds:.1f} s: {said}")
    good = sum(row["planted"] == row["named"] for row in rows)
    print(f"{good} of {len(rows)} named, at most {max(row['seconds'] for row in rows)} s")
    if given.json:
        given.json.write_text(json.dumps(rows, indent=1))
    return 0 if good >= 0.95 * len(rows) else 1


if __name__ == "__main__":
    sys.exit(main())
