"""Every rule of docs/bundle.md is held at open, and damaged Bundles end every verb in an answer or one line: a slice of
`make damage`.
"""

from __future__ import annotations

import importlib
import json
import random
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from torchport.bundle import Bundle
from torchport.errors import BundleError
from torchport.tasks import tasks

ROOT = Path(__file__).parents[2]
FOLDER = ROOT / "benchmarks/damage"
sys.path.insert(0, str(FOLDER))
mutations: Any = importlib.import_module("mutations")
sys.path.remove(str(FOLDER))

SLICE = """
import json, sys
from pathlib import Path
sys.path.insert(0, sys.argv[1])
from herd import Base, drive
data = Path(sys.argv[2])
bases = [Base(path, next(data.glob(f"{path.stem}.input.*"))) for path in sorted(data.glob("*.tport"))]
print(json.dumps([row._asdict() for row in drive(range(45), 7, bases, 2)]))
"""


@pytest.fixture
def sound(tmp_path: Path) -> Path:
    shutil.copytree(ROOT / "tests/data/schema3.tport", tmp_path / "net.tport")
    return tmp_path / "net.tport"


@pytest.mark.parametrize("rule", mutations.FORBIDDEN)
def test_a_broken_rule_is_refused_in_one_line(sound: Path, rule: str) -> None:
    tree = json.loads((sound / "torchport.json").read_text("utf-8"))
    mutations.FORBIDDEN[rule](tree)
    (sound / "torchport.json").write_text(json.dumps(tree), "utf-8")
    with pytest.raises(BundleError) as caught:
        Bundle(sound)
    assert str(caught.value).isprintable() and len(str(caught.value)) < 1000 and caught.value.hint


def test_a_key_that_stands_twice_is_refused(sound: Path) -> None:
    manifest = sound / "torchport.json"
    text = manifest.read_text("utf-8")
    manifest.write_text(text.replace('"schema":', '"name": "another", "schema":', 1), "utf-8")
    with pytest.raises(BundleError, match="the key 'name' stands twice"):
        Bundle(sound)


@pytest.mark.parametrize("value", mutations.POOL, ids=lambda value: repr(value)[:20])
@pytest.mark.parametrize(
    "name", [name for name in tasks.names() if tasks.entries()[name].path.startswith("torchport.")]
)
def test_a_fact_of_another_kind_is_refused_or_understood_by_every_task(name: str, value: Any) -> None:
    task = tasks.get(name)
    for fact in task.defaults:
        with_it = {**task.defaults, fact: value}
        try:
            assert isinstance(task.recorded(with_it), task.facts)
        except Exception as exc:
            assert type(exc).__name__ in ("UsageError", "MissingDependency"), (
                f"{fact}={value!r}: {type(exc).__name__}: {exc}"
            )


def test_damaged_bundles_end_every_verb_in_an_answer_or_one_line() -> None:
    done = subprocess.run(
        [sys.executable, "-c", SLICE, FOLDER, ROOT / "tests/data"],
        capture_output=True,
        text=True,
        timeout=600,
        check=True,
    )
    rows = json.loads(done.stdout.splitlines()[-1])
    assert len(rows) == 45
    assert [row for row in rows if row["wrong"]] == []


def test_equal_seeds_make_equal_damage(sound: Path, tmp_path: Path) -> None:
    made = []
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        case = mutations.damage(sound, tmp_path / name, random.Random(3))
        made.append((case.kind, case.verb, case.forbidden, (case.bundle / "torchport.json").read_bytes()))
    assert made[0] == made[1]
