"""Labels: class folders give names, and whatever has to be guessed is said."""

from __future__ import annotations

from pathlib import Path

import pytest
from PIL import Image

from torchport.errors import BadInput
from torchport.tasks import tasks
from torchport.tasks.facts import read
from torchport.types import Signature, TensorSpec


def model(classes: int) -> Signature:
    return Signature(
        inputs=(TensorSpec(name="x", dtype="float32", shape=("batch", 3, 8, 8)),),
        outputs=(TensorSpec(name="y", dtype="float32", shape=("batch", classes)),),
    )


def settled(folder: Path, classes: int, labels=None, task="image-classification"):
    one = tasks.get(task)
    facts = read(one.facts, {"labels": labels})
    return one.settle(folder, one.items(folder, facts), facts, model(classes))


def pictures(folder: Path, *names: str) -> Path:
    for name in names:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (8, 8)).save(path)
    return folder


def labels_of(found) -> list:
    return [item.label for item in found.items]


def test_class_folders_give_their_names_and_that_is_said(tmp_path):
    found = settled(pictures(tmp_path, "dog/a.png", "cat/b.png"), 2)
    assert found.facts.labels == ("cat", "dog")
    assert labels_of(found) == [0, 1]
    assert found.assumed == ("labels",)
    assert "ImageFolder" in found.warnings[0]
    assert "0 cat, 1 dog" in found.warnings[0]


def test_texts_in_class_folders_do_the_same(tmp_path):
    for name in ("sport", "food"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "one.txt").write_text("some words")
    found = settled(tmp_path, 2, task="text-classification")
    assert (found.facts.labels, labels_of(found), found.assumed) == (("food", "sport"), [0, 1], ("labels",))


def test_a_missing_class_folder_leaves_the_items_unlabelled(tmp_path):
    found = settled(pictures(tmp_path, "dog/a.png", "cat/b.png"), 3)
    assert labels_of(found) == [None, None]
    assert found.facts.labels is None
    assert "2 class folders (cat, dog), the model answers 3" in found.warnings[0]
    assert found.assumed == ("labels",)


def test_a_missing_class_folder_of_known_labels_is_named(tmp_path):
    found = settled(pictures(tmp_path, "dog/a.png", "cat/b.png"), 3, ["bird", "cat", "dog"])
    assert labels_of(found) == [1, 2]
    assert "bird" in found.warnings[0]


def test_numbered_folders_are_said_and_differ_from_image_folder(tmp_path):
    found = settled(pictures(tmp_path, *(f"{i}/a.png" for i in range(11))), 11)
    assert sorted(labels_of(found)) == list(range(11))
    assert "ImageFolder sorts names as text" in found.warnings[0]
    assert found.assumed == ("labels",)
    with pytest.raises(BadInput, match="labelled 10"):
        settled(tmp_path, 10)


def test_another_order_than_image_folders_is_said(tmp_path):
    found = settled(pictures(tmp_path, "dog/a.png", "cat/b.png"), 2, ["dog", "cat"])
    assert "another order" in found.warnings[0]
    assert labels_of(found) == [1, 0]
    assert settled(tmp_path, 2, ["cat", "dog"]).warnings == ()


def test_folders_that_match_labels_by_order_only_are_said(tmp_path):
    found = settled(pictures(tmp_path, "n01/a.png", "n02/b.png"), 2, ["tench", "goldfish"])
    assert labels_of(found) == [0, 1]
    assert "n01 to 'tench'" in found.warnings[0]


def test_numbers_in_file_names_are_labels_only_where_they_can_be(tmp_path):
    assert "IMG_1.png counts as class 1" in settled(pictures(tmp_path, "IMG_1.png", "IMG_2.png"), 5).warnings[0]
    assert labels_of(settled(pictures(tmp_path, "IMG_7.png"), 5)) == [None] * 3


@pytest.mark.parametrize("head", ["file,label", "Image,Class", " path , target ", "FILENAME,category", "image"])
def test_headers_of_tables_of_pictures(tmp_path, head):
    pictures(tmp_path, "a.png")
    (tmp_path / "t.csv").write_text(f"{head}\na.png" + (",1\n" if "," in head else "\n"))
    assert labels_of(settled(tmp_path / "t.csv", 2)) == [1 if "," in head else None]


@pytest.mark.parametrize("head", ["text,label", "Sentence,CLASS", "review,Target"])
def test_headers_of_tables_of_texts(tmp_path, head):
    (tmp_path / "t.csv").write_text(f"{head}\nsome words,1\n")
    assert labels_of(settled(tmp_path / "t.csv", 2, task="text-classification")) == [1]


def test_columns_that_could_both_be_it_are_refused(tmp_path):
    (tmp_path / "t.csv").write_text("image,path,label\na.png,b.png,1\n")
    with pytest.raises(BadInput, match="image and path"):
        settled(tmp_path / "t.csv", 2)
