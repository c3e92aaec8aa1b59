"""The field's words: a reader of messages, documentation, schemas and the changelog meets none of the private ones, and
finds torchport's own in the glossary.
"""

from __future__ import annotations

import ast
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from torchport.deployment.rows import STAGE
from torchport.targets.base import PROFILES
from torchport.verification.trials import EDGES, SIZES

ROOT = Path(__file__).parents[1]
GLOSSARY = ROOT / "docs/glossary.md"

PRIVATE = {
    r"brain.floats?": "bfloat16",
    r"(chose|choose|chosen) nothing(?! was)": "test split",
    r"items that (chose|choose|test)": "validation split, test split",
    r"\bdoubles\b": "overlapping boxes; non-maximum suppression",
    r"\b(re-?)?taught\b": "trained, distilled",
    r"what (teaches|chooses|judges)": "calibration, validation and test split",
    r"\bthinned\b": "pruned",
    r"whole floats|\b(stays?|in) floats\b(?!\s*[:.(])": "float32",
    r"\b(won|wins?) back\b": "recovers",
    r"(dynamic|8-bit|4-bit) products|products? (with|of) (constant|matri)": "matrix multiplication",
    r"float form": "floating-point parent",
    r"equal files": "the timing noise of one file",
    r"taken anew": "estimated again",
}
"""What nobody outside would understand -> the field's word."""


def pages() -> Iterator[tuple[Path, str]]:
    """What a user reads, with the code's strings, docstrings and comments."""
    for folder, patterns in {
        "src": ("*.py",),
        "docs": ("*.md", "*.json"),
        "examples": ("*.md", "*.py"),
        "benchmarks": ("*.md", "*.py"),
        "changelog.d": ("*.md",),
        "tests/cli/screens": ("*.txt",),
    }.items():
        for pattern in patterns:
            for path in sorted((ROOT / folder).rglob(pattern)):
                text = path.read_text("utf-8")
                yield path, prose(text) if path.suffix == ".py" else text
    for name in ("README.md", "CONTRIBUTING.md", "scripts/generate-docs", "Makefile"):
        yield ROOT / name, (ROOT / name).read_text("utf-8")


def prose(code: str) -> str:
    """Strings and comments of a Python file, each on lines of its own."""
    strings = [node.value for node in ast.walk(ast.parse(code)) if isinstance(node, ast.Constant)]
    comments = re.findall(r"(?m)(?:^|  )# (.*)$", code)
    return "\n".join([*(text for text in strings if isinstance(text, str)), *comments])


def test_nobody_meets_a_private_word() -> None:
    found = [
        f"{path.relative_to(ROOT)}: '{match[0]}' for {meant}"
        for path, text in pages()
        for private, meant in PRIVATE.items()
        for match in re.finditer(private, " ".join(text.split()), re.IGNORECASE)
    ]
    assert found == []


def terms() -> list[list[str]]:
    """The terms of each table of the glossary; several may share a row."""
    tables, rows = [], list[str]()
    for line in [*GLOSSARY.read_text("utf-8").splitlines(), ""]:
        if line.startswith("| ") and not line.startswith(("| term |", "| --- |")):
            rows.append(line.split(" | ")[0].removeprefix("| "))
        elif rows and not line.startswith("|"):
            tables.append(rows)
            rows = []
    return tables


def names() -> set[str]:
    return {name.strip("`") for rows in terms() for row in rows for name in row.split(", ")}


def test_the_glossary_is_in_order_and_says_everything_once() -> None:
    for rows in terms():
        assert rows == sorted(rows, key=lambda row: row.strip("`").lower()), "sort the table"
    every = [row for rows in terms() for row in rows]
    assert len(every) == len(set(every))


def test_the_glossary_has_what_the_documents_print() -> None:
    printed = {
        value
        for path in sorted((ROOT / "docs/schema").glob("*.json"))
        if not path.name.startswith("facts-")  # the reference says of each fact what its words mean
        for value in enumerated(json.loads(path.read_text("utf-8")))
    }
    assert {"chosen", "rejected", "not shown"} <= printed
    assert printed - names() == set()


def test_the_glossary_has_the_stages() -> None:
    told = re.compile(r'\b(?:self\.)?tell\(\s*"([a-z ]+)",')
    shown = {
        match[1]
        for path in (ROOT / "src/torchport/deployment").glob("*.py")
        for match in told.finditer(path.read_text())
    }
    assert {"capture", "pack", "test"} <= shown
    assert ({*shown, STAGE, SIZES, EDGES}) - names() == set()
    page = GLOSSARY.read_text("utf-8")
    assert all(f"`{one}`" in page for one in PROFILES)


def enumerated(schema: Any) -> Iterator[str]:
    """Every word that a schema allows by name."""
    if isinstance(schema, list):
        for one in schema:
            yield from enumerated(one)
    elif isinstance(schema, dict):
        yield from (value for value in schema.get("enum", ()) if isinstance(value, str))
        for one in schema.values():
            yield from enumerated(one)


def test_the_chinese_readme_uses_the_usual_terms() -> None:
    text = (ROOT / "README.zh-CN.md").read_text("utf-8")
    usual = ("推理", "量化", "剪枝", "蒸馏", "校准集", "验证集", "测试集", "张量", "部署", "准确率", "体积")
    assert [term for term in usual if term not in text] == []


def test_the_pages_that_use_the_words_link_to_the_glossary() -> None:
    for page in ("README.md", "README.zh-CN.md", "docs/architecture.md", "docs/json.md", "docs/bundle.md"):
        assert "glossary.md" in (ROOT / page).read_text("utf-8"), page
