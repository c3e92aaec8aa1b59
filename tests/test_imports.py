"""Importing is light: the package alone loads nothing heavy, and the run half imports where PyTorch is not
installed.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from test_layers import BUILD, HEAVY, MODULES, belongs

BLOCKED = tuple(name for name in HEAVY if name != "onnxruntime")

IMPORT_ALL = """
import importlib, importlib.abc, json, sys

class Block(importlib.abc.MetaPathFinder):
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in BLOCKED:
            raise ModuleNotFoundError(f"{name} is blocked", name=name)

sys.meta_path.insert(0, Block())
failed = {}
for module in MODULES:
    try:
        importlib.import_module(f"torchport.{module}")
    except Exception as exc:
        failed[module] = repr(exc)
print(json.dumps(failed))
"""


def child(code: str) -> str:
    return subprocess.run(
        [sys.executable, "-W", "error", "-c", code], check=True, capture_output=True, text=True, timeout=120
    ).stdout


def test_importing_the_package_loads_nothing_heavy():
    loaded = set(
        json.loads(
            child(
                "import json, sys, torchport; print(json.dumps(sorted({name.partition('.')[0] for name in "
                "sys.modules})))"
            )
        )
    )
    assert not loaded & {*BLOCKED, "numpy", "onnxruntime", "PIL", "typer", "rich", "msgspec", "safetensors"}


def test_importing_the_package_takes_under_60_ms():
    """In time of the processor, which other processes do not add to; `benchmarks/bars startup` holds the time on the
    clock.
    """
    timed = "from time import process_time; start = process_time(); import torchport; print(process_time() - start)"
    assert min(float(child(timed)) for _ in range(5)) < 0.060


def test_the_public_names_are_all_there():
    names = json.loads(
        child(
            "import json, torchport; print(json.dumps([n for n in torchport.__all__ if getattr(torchport, n, None) is "
            "None]))"
        )
    )
    assert names == []


def test_the_run_half_imports_without_pytorch_or_any_runtime_but_the_base_one():
    modules = [module for module in MODULES if module != "__main__" and not belongs(module, BUILD)]
    assert json.loads(child(f"BLOCKED = {BLOCKED!r}\nMODULES = {modules!r}\n{IMPORT_ALL}")) == {}


def test_what_make_quick_runs_is_collected_without_pytorch():
    root = Path(__file__).parents[1]
    env = {**os.environ, "PYTHONPATH": str(root / "tests" / "without_torch")}
    for words, says in (
        (["-c", "import importlib.util; print(importlib.util.find_spec('torch'))"], "None"),
        (["-m", "pytest", "--collect-only", "-q", "-p", "no:cacheprovider", "@tests/quick.txt"], "tests collected"),
    ):
        done = subprocess.run([sys.executable, *words], cwd=root, env=env, capture_output=True, text=True, check=False)
        assert done.returncode == 0 and says in done.stdout, done.stdout[-2000:]


def test_blocking_blocks():
    failed = json.loads(child(f"BLOCKED = {BLOCKED!r}\nMODULES = ['tasks.graphs.resample']\n{IMPORT_ALL}"))
    assert "torch is blocked" in failed["tasks.graphs.resample"]


@pytest.mark.parametrize("verb", ["--help", "--version"])
def test_the_command_line_answers_without_loading_a_runtime(verb):
    code = f"""
import json, sys
sys.argv = ["torchport", "{verb}"]
from torchport.cli import main
try:
    main()
except SystemExit:
    pass
print(json.dumps(sorted({{name.partition('.')[0] for name in sys.modules}})))
"""
    loaded = set(json.loads(child(code).splitlines()[-1]))
    assert not loaded & {*BLOCKED, "onnxruntime"}


def test_an_answer_loads_no_more_than_it_needs():
    data = Path(__file__).parent / "data"
    call = [
        sys.executable,
        "-X",
        "importtime",
        "-m",
        "torchport",
        "predict",
        str(data / "schema1.tport"),
        str(data / "schema1.input.json"),
        "--variant",
        "onnx-fp32",
    ]
    loaded = {
        line.rpartition("|")[2].strip()
        for line in subprocess.run(call, check=True, capture_output=True, text=True, timeout=120).stderr.splitlines()
    }
    assert {"onnxruntime.capi._pybind_state", "torchport.predict"} <= loaded
    assert not loaded & {*BLOCKED, "PIL", "asyncio", "importlib.metadata", "multiprocessing", "rich"}
