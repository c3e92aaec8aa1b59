"""docs/bundle.md says what every host step of every task does."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from torchport.bundle.manifest import SCHEMA
from torchport.tasks import tasks
from torchport.types import Artifact, BuiltFor, GraphFile, Step, TensorIO

PAGE = (Path(__file__).parents[2] / "docs/bundle.md").read_text("utf-8")
STEPS = PAGE.partition("## Host steps\n")[2].partition("\n## ")[0]


def paragraphs(task: str) -> dict[str, str]:
    """Host step -> the paragraph that begins with its name."""
    section = STEPS.partition(f"\n### {task}\n")[2].partition("\n### ")[0]
    found = {}
    for part in re.split(r"(?m)^- (?=\*\*`)", section)[1:]:
        named = re.match(r"(?:(?:, )?\*\*`\w+`\*\*)+", part)
        assert named
        found.update(dict.fromkeys(re.findall(r"`(\w+)`", named[0]), part[named.end() :].strip()))
    return found


@pytest.mark.parametrize("name", tasks.names())
def test_every_host_step_of_a_task_has_its_paragraph(name: str) -> None:
    task = tasks.get(name)
    said = paragraphs(name)
    assert set(said) == {*task.host, *task.drivers}
    assert all(len(text) > 10 for text in said.values())
    for driver in task.drivers:
        assert "a driver" in said[driver], f"{driver} runs graphs itself"


@pytest.mark.parametrize("kind", [Artifact, BuiltFor, GraphFile, Step, TensorIO], ids=lambda kind: kind.__name__)
def test_every_field_of_the_contract_is_on_the_page(kind: type) -> None:
    assert [name for name in kind.__struct_fields__ if f"`{name}`" not in PAGE and f'"{name}"' not in PAGE] == []


def test_the_page_is_of_the_schema_that_is_written() -> None:
    assert PAGE.startswith(f"# The Bundle, schema {SCHEMA}\n")
