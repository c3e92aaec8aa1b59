"""`scripts/install`: uv looks where pip is told to, and pip goes on where uv fails."""

from __future__ import annotations

import json
import os
import stat
import subprocess
import sys
from importlib.metadata import distributions
from pathlib import Path

import pytest

# pip is neither imported nor looked for: setuptools, once it has seen that, stands in for distutils no longer.
HAS_PIP = any(one.name.lower() == "pip" for one in distributions() if one.name)
pytestmark = pytest.mark.skipif(not HAS_PIP, reason="needs pip")
SCRIPT = Path(__file__).parents[1] / "scripts" / "install"


def test_what_pip_is_told_is_told_to_uv(monkeypatch, tmp_path):
    for name in [name for name in os.environ if name.startswith(("PIP_", "UV_"))]:
        monkeypatch.delenv(name)
    (tmp_path / "pip.conf").write_text(
        "[global]\nextra-index-url = https://a/simple\n  https://b/simple\ntimeout = 7\n"
    )
    monkeypatch.setenv("PIP_CONFIG_FILE", str(tmp_path / "pip.conf"))
    monkeypatch.setenv("PIP_FIND_LINKS", "/wheels /more")
    monkeypatch.setenv("PIP_TIMEOUT", "9")
    monkeypatch.setenv("UV_INDEX_STRATEGY", "first-index")
    ask = "import json, runpy, sys; print(json.dumps(runpy.run_path(sys.argv[1])['_as_pip_is_told']()))"
    told = json.loads(subprocess.run([sys.executable, "-c", ask, SCRIPT], capture_output=True, check=True).stdout)
    assert told["UV_FIND_LINKS"] == "/wheels,/more"
    assert told["UV_HTTP_TIMEOUT"] == "9"
    assert told["UV_INDEX_STRATEGY"] == "first-index"  # whoever sets uv's own means it
    assert told["UV_INDEX"] == "https://a/simple https://b/simple"


@pytest.mark.parametrize("works", [True, False])
def test_pip_goes_on_where_uv_fails(tmp_path, works):
    """Of an environment of its own, in which uv and pip only say that they were called."""
    place = tmp_path / "bin"
    place.mkdir()
    python = place / "python"
    python.symlink_to(sys.executable)
    for name, code in (("uv", 0 if works else 1), ("pip", 0)):
        program = place / name
        program.write_text(f'#!/bin/sh\necho "{name} $*" >> {tmp_path / "said"}\nexit {code}\n')
        program.chmod(program.stat().st_mode | stat.S_IXUSR)
    run = (
        "import runpy, sys; script = runpy.run_path(sys.argv[1]); main = script['main'].__globals__;"
        "main['UV'], main['PIP'] = script['Path'](sys.argv[2]) / 'uv', [sys.argv[2] + '/pip', '--quiet'];"
        "sys.exit(script['main'](['--no-deps', 'thing==1']))"
    )
    done = subprocess.run([python, "-c", run, SCRIPT, place], capture_output=True, text=True, check=True)
    said = (tmp_path / "said").read_text().splitlines()
    assert any(line.startswith("uv pip install") and line.endswith("--no-deps thing==1") for line in said)
    assert ("pip --quiet install --no-deps thing==1" in said) is not works
    assert ("pip goes on" in done.stderr) is not works
