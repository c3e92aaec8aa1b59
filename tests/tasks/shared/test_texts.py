"""Texts from bytes and from folders and tables, as people have them."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from torchport.errors import BadInput
from torchport.tasks.shared import texts


@given(st.text(st.characters(exclude_categories=["Cs"])).filter(lambda text: text.strip().strip("\0")))
def test_utf8_comes_back(text):
    assert texts.decode(text.encode()) == text.removeprefix("\ufeff").strip().strip("\0")


@given(st.binary(max_size=64))
def test_any_bytes_are_a_text_or_refused(raw):
    try:
        assert texts.decode(raw)
    except BadInput as exc:
        assert exc.message


@pytest.mark.parametrize(
    ("raw", "message"),
    [
        (b"", "is empty"),
        (b" \r\n\t", "is empty"),
        (b"\0\0", "is empty"),
        (b"caf\xe9", "not UTF-8 at byte 3"),
        ("text".encode("utf-16"), "not UTF-8 at byte 0"),
    ],
)
def test_what_is_no_text_is_refused(raw, message):
    with pytest.raises(BadInput, match=message):
        texts.decode(raw)


def test_of_ten_megabytes_the_beginning_is_read_and_no_character_is_cut():
    raw = ("é" * 5 * 2**20).encode()
    assert len(raw) == 10 * 2**20
    assert texts.decode(b"x" + raw) == "x" + "é" * (texts.MOST_BYTES // 2 - 1)


def test_folders_tables_and_files(tmp_path):
    (tmp_path / "sport").mkdir()
    (tmp_path / "food").mkdir()
    (tmp_path / "sport" / "b.txt").write_text("goal")
    (tmp_path / "food" / "a.txt").write_text("soup")
    assert [(item.name, item.read(), item.label) for item in texts.items_of(tmp_path)] == [
        ("food/a.txt", b"soup", "food"),
        ("sport/b.txt", b"goal", "sport"),
    ]
    assert [item.label for item in texts.items_of(tmp_path / "food" / "a.txt")] == [None]
    rows = [{"text": "你好, 世界", "label": 1}, {"text": "two\nlines"}]
    (tmp_path / "rows.jsonl").write_text("\n".join(json.dumps(row) for row in rows))
    assert [(item.read().decode(), item.label) for item in texts.items_of(tmp_path)] == [
        ("你好, 世界", "1"),
        ("two\nlines", None),
    ]
    (tmp_path / "rows.tsv").write_text("label\ttext\nsport\ta goal\n")
    assert [(item.name, item.read(), item.label) for item in texts.items_of(tmp_path / "rows.tsv")] == [
        ("rows.tsv:2", b"a goal", "sport")
    ]
    long = tmp_path / "long.csv"
    long.write_text('text\n"' + "word " * 100_000 + '"\n')
    assert len(texts.items_of(long)[0].read()) == 500_000


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.csv", b"title,label\nx,y\n", "a.csv, line 2: there is no text"),
        ("a.jsonl", b'{"text": "x"}\n{oops}\n', "cannot be read as a table"),
        ("a.csv", b"text\ncaf\xe9\n", "cannot be read as a table"),
        ("a.jsonl", b"[1]\n", "line 1: there is no text"),
        ("a.pdf", b"x", "holds no text"),
    ],
)
def test_what_cannot_be_read_is_named(tmp_path, name, content, message):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(BadInput, match=message):
        texts.items_of(tmp_path)
    with pytest.raises(BadInput, match="does not exist"):
        texts.items_of(tmp_path / "other")


def test_pairs_of_texts_are_refused(tmp_path):
    (tmp_path / "pairs.csv").write_text("text,text_pair,label\na,b,yes\n", encoding="utf-8")
    with pytest.raises(BadInput, match="line 2: the column 'text_pair' makes pairs of texts"):
        texts.items_of(tmp_path / "pairs.csv")
    (tmp_path / "pairs.csv").write_text("text,text_pair,label\na,,yes\n", encoding="utf-8")
    assert len(texts.items_of(tmp_path / "pairs.csv")) == 1
