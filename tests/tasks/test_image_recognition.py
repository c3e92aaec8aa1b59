"""The task `image-recognition`: enrolment, search and thresholds, text by CTC, facts and bad input; digits with trained
networks.
"""

from __future__ import annotations

import io
import tracemalloc
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

import torchport
from torchport import gallery
from torchport.errors import BadInput, RunError, UsageError
from torchport.predict import Predictor
from torchport.tasks import Pipeline, Plan, tasks
from torchport.tasks.shared.gallery import Gallery
from torchport.testing.samples.image_recognition import COLORS, MeanColor, sample
from torchport.types import Signature, TensorSpec

TASK = tasks.get("image-recognition")
VARIANTS = ("onnx-fp32", "openvino-fp32", "torchscript-fp32")


def png(color: tuple[int, int, int], size: tuple[int, int] = (30, 30)) -> bytes:
    out = io.BytesIO()
    Image.new("RGB", size, color).save(out, "PNG")
    return out.getvalue()


def vectors(*angles: float) -> np.ndarray:
    """Unit vectors of two numbers, by their angles in degrees."""
    radians = np.deg2rad(angles)
    return np.stack([np.cos(radians), np.sin(radians)], axis=1).astype(np.float32)


def made(*entries: tuple[str, float]) -> Gallery:
    """A gallery of (label, angle)."""
    labels, angles = zip(*entries, strict=True)
    return Gallery.of(labels, [f"{number}.png" for number in range(len(labels))], vectors(*angles), "model")


# a gallery


def test_search_answers_the_best_entry_of_each_label():
    known = made(("b", 50), ("a", 0), ("a", 20), ("c", 90))
    found = known.search(vectors(25)[0], 2)
    assert [(one.label, one.picture) for one in found] == [("a", "2.png"), ("b", "0.png")]
    assert found[0].score == pytest.approx(np.cos(np.deg2rad(5)), abs=1e-6)
    assert len(known.search(vectors(25)[0], 9)) == 3


def test_the_threshold_is_exceeded_by_the_given_share_of_strangers():
    random = np.random.default_rng(0)
    entries = [(label, float(angle)) for label in "abcdefgh" for angle in random.uniform(0, 360, 25)]
    known = made(*entries)
    alike = known.embeddings @ known.embeddings.T
    alike[np.equal.outer(np.array(known.labels), np.array(known.labels))] = -1
    for far in (0.0, 0.01, 0.1, 0.5):
        threshold = known.threshold(far)
        assert (alike.max(1) > threshold).mean() <= far
        assert (alike.max(1) >= threshold).mean() > far  # a lower one would let in more
    assert made(("a", 0), ("a", 10)).threshold(0.01) is None


def test_a_label_enrolled_twice_under_one_name_is_replaced():
    known = Gallery.of(["a", "b", "a"], ["1.png", "1.png", "1.png"], vectors(0, 90, 45), "model")
    assert known.labels == ("a", "b")
    assert known.embeddings[0] == pytest.approx(vectors(45)[0])


def test_a_file_comes_back_and_a_damaged_one_is_refused(tmp_path):
    known = made(("Zoë", 0), ("李", 90))
    path = tmp_path / "gallery.safetensors"
    known.save(path)
    again = gallery.read(path)
    assert (again.labels, again.pictures, again.model) == (known.labels, known.pictures, "model")
    np.testing.assert_array_equal(again.embeddings, known.embeddings)
    assert again.threshold(0.01) == known.threshold(0.01)
    for content in (b"", b"no gallery", path.read_bytes()[:-8]):
        path.write_bytes(content)
        with pytest.raises(BadInput, match="is not a gallery"):
            gallery.read(path)
    with pytest.raises(BadInput, match="cannot be read"):
        gallery.read(tmp_path / "none.safetensors")


# facts and data


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({}, "there is none"),
        ({"gallery": "/nowhere"}, "there is no '/nowhere'"),
        ({"head": "ocr"}, "embedding or ctc"),
        ({"head": "ctc"}, "needs an alphabet"),
        ({"head": "ctc", "alphabet": "01", "far": "2"}, "a number, 0 to 1"),
        ({"head": "ctc", "alphabet": "01", "threshold": "-3"}, "a number, -1 to 1"),
        ({"head": "ctc", "alphabet": "01", "blank": "-1"}, "0 to 1073741824"),
    ],
)
def test_impossible_settings(settings, said):
    with pytest.raises(UsageError, match=said):
        TASK.resolve(settings, {})


@pytest.mark.parametrize(
    ("shape", "settings", "said"),
    [
        (("batch", 9, 12), {"alphabet": "0123456789"}, "10 characters and one blank"),
        (("batch", 9, 11), {"alphabet": "0123456789", "blank": 11}, "one blank"),
        (("batch", 11), {"alphabet": "0123456789"}, "of a ctc head"),
    ],
)
def test_a_head_that_does_not_fit(shape, settings, said):
    model = Signature(
        inputs=(TensorSpec(name="x", dtype="float32", shape=("batch", 3, 224, 224)),),
        outputs=(TensorSpec(name="y", dtype="float32", shape=shape),),
    )
    facts, _ = TASK.resolve({"head": "ctc", **settings}, {})
    with pytest.raises(BadInput, match=said):
        TASK.bind(facts, model)


def deploy(folder: Path, **changed: object) -> torchport.Outcome:
    settings = {**sample(folder).settings, **changed}
    return torchport.deploy(
        MeanColor().eval(),
        folder / "colors.tport",
        task="image-recognition",
        data=folder / "data",
        settings=settings,
        targets=["onnx"],
        recipes=["fp32"],
    )


def test_a_gallery_must_be_labelled_and_of_two_at_least(tmp_path):
    for name, files, said in (
        ("unlabelled", ["a.png", "b.png"], "has no label"),
        ("lonely", ["me/a.png", "me/b.png"], "shows 1 label"),
        ("empty", [], "holds no picture"),
    ):
        (tmp_path / name / "people").mkdir(parents=True)
        for file in files:
            (tmp_path / name / "people" / file).parent.mkdir(exist_ok=True)
            (tmp_path / name / "people" / file).write_bytes(png((9, 9, 9)))
        with pytest.raises(BadInput, match=said):
            deploy(tmp_path / name, gallery=str(tmp_path / name / "people"), threshold=None)


# the chain, in every target


@pytest.fixture(scope="module")
def bundle(tmp_path_factory):
    folder = tmp_path_factory.mktemp("colors")
    made = sample(folder)
    path = folder / "colors.tport"
    torchport.deploy(
        made.source,
        path,
        task=made.task,
        data=made.data,
        settings=made.settings,
        targets=["onnx", "openvino", "torchscript"],
        recipes=["fp32"],
        keep="all",
    )
    return path


@pytest.fixture
def predictor(bundle):
    with Predictor(bundle, trust=True) as opened:
        yield opened


@pytest.mark.parametrize("in_graph", [False, True])
@pytest.mark.parametrize("variant", VARIANTS)
def test_the_enrolled_are_known_and_strangers_are_not(bundle, variant, in_graph):
    with Predictor(bundle, variant=variant, in_graph=in_graph, trust=True) as predictor:
        for name, color in COLORS.items():
            found = predictor.predict(png(color, (57, 33)))
            assert (found["label"], found["known"], found["threshold"]) == (name, True, 0.9)
            assert found["score"] == found["matches"][0]["score"] > 0.999
            assert {one["label"] for one in found["matches"]} == set(COLORS)
        stranger = predictor.predict(png((200, 190, 30)))
        assert (stranger["label"], stranger["known"]) == ("unknown", False)
        assert stranger["score"] == stranger["matches"][0]["score"] <= 0.9


def test_enrolling_and_removing_change_who_is_known(bundle, predictor, tmp_path):
    own, yellow = tmp_path / "own.safetensors", png((200, 190, 30))
    gallery.enrol(predictor, own, {"gelb": [yellow]})
    with Predictor(bundle, overrides={"gallery": str(own)}) as opened:
        assert opened.predict(yellow)["label"] == "gelb"
        assert opened.predict(png(COLORS["蓝"]))["label"] == "蓝"
        gallery.remove(own, "gelb")
        assert opened.predict(yellow)["label"] == "unknown"  # the file has changed, the Bundle stays open
    with pytest.raises(BadInput, match="knows no 'gelb'"):
        gallery.remove(own, "gelb")
    assert predictor.predict(yellow)["label"] == "unknown"  # the Bundle's own gallery is as it was


def test_an_empty_gallery_knows_nobody(bundle, predictor, tmp_path):
    own = tmp_path / "own.safetensors"
    gallery.enrol(predictor, own, {"one": [png((9, 90, 9))]}, fresh=True)
    assert gallery.remove(own, "one").known == ()
    with Predictor(bundle, overrides={"gallery": str(own)}) as opened:
        nobody = opened.predict(png((9, 90, 9)))
        assert (nobody["label"], nobody["known"], nobody["matches"]) == ("unknown", False, [])
    with (
        Predictor(bundle, overrides={"gallery": str(own), "threshold": None}) as opened,
        pytest.raises(BadInput, match="fewer than two labels"),
    ):
        opened.predict(png((9, 90, 9)))


def test_what_cannot_be_enrolled_changes_nothing(predictor, tmp_path):
    own = tmp_path / "own.safetensors"
    for pictures, kind, said in (
        ({}, UsageError, "nothing to enrol"),
        ({"unknown": [png((1, 2, 3))]}, UsageError, "is not a label"),
        ({"a": [png((1, 2, 3)), b"no picture"]}, BadInput, "not a picture"),
    ):
        with pytest.raises(kind, match=said):
            gallery.enrol(predictor, own, pictures, fresh=True)
    assert not own.exists()
    made(("a", 0), ("b", 90)).save(own)
    before = own.read_bytes()
    with pytest.raises(BadInput, match="another model"):
        gallery.enrol(predictor, own, {"c": [png((1, 2, 3))]})
    assert own.read_bytes() == before
    with (
        pytest.raises(BadInput, match="another model"),
        Predictor(predictor.bundle.path, overrides={"gallery": str(own)}) as opened,
    ):
        opened.predict(png((1, 2, 3)))


# bad input


@pytest.mark.parametrize("size", [(1, 1), (1, 3000), (3000, 1)])
def test_a_picture_of_one_pixel_or_one_row_is_answered(predictor, size):
    assert predictor.predict(png(COLORS["Rot"], size))["label"] == "Rot"


def test_a_picture_of_100_megapixels_is_refused_before_it_is_decoded(predictor):
    raw = io.BytesIO()
    Image.new("1", (10_000, 10_000)).save(raw, "PNG")
    tracemalloc.start()
    with pytest.raises(BadInput, match="more than 89 million pixels"):
        predictor.predict(raw.getvalue())
    assert tracemalloc.get_traced_memory()[1] < 2**20
    tracemalloc.stop()


@pytest.mark.parametrize(
    ("raw", "said"),
    [
        (b"", "empty"),
        (b"GIF89a", "not a picture"),
        ("写的字".encode(), "not a picture"),
        (png((1, 2, 3))[:60], "cannot be decoded"),
    ],
)
def test_what_is_no_picture(predictor, raw, said):
    with pytest.raises(BadInput, match=said):
        predictor.predict(raw)


# text


class Reads:
    """A runner that answers given rows of logits, float32 [1, time, classes]."""

    signature = Signature(inputs=(), outputs=())

    def __init__(self, rows: list[list[float]]) -> None:
        self.rows = np.array([rows], np.float32)

    def run(self, feed: object) -> dict[str, np.ndarray]:
        return {"y": self.rows}


def read(symbols: list[int], alphabet: str = "ab", blank: int = 0) -> dict[str, object]:
    """What the task reads where each column's best class is the given one, by 4."""
    facts, _ = TASK.resolve(
        {"head": "ctc", "alphabet": alphabet, "blank": blank, "resize": [8, 8], "mean": 0.5, "std": 0.5}, {}
    )
    classes = len(alphabet) + 1
    model = Signature(
        inputs=(TensorSpec(name="x", dtype="float32", shape=("batch", 3, 8, 8)),),
        outputs=(TensorSpec(name="y", dtype="float32", shape=("batch", "time", classes)),),
    )
    rows = [[4.0 if index == symbol else 0.0 for index in range(classes)] for symbol in symbols]
    result: dict[str, object] = Pipeline(
        Plan(TASK, facts, TASK.steps(facts, model), {}), {"model": Reads(rows)}, False
    ).answer(png((0, 0, 0)))["result"]
    return result


@pytest.mark.parametrize(
    ("symbols", "blank", "text"),
    [
        ([1, 1, 2], 0, "ab"),
        ([1, 0, 1], 0, "aa"),
        ([0, 0, 2, 2, 0], 0, "b"),
        ([0, 1, 2, 2, 0], 2, "aba"),
        ([0, 1, 0], 1, "aa"),
        ([2, 2], 1, "b"),
    ],
)
def test_repeats_are_one_character_and_blanks_none(symbols, blank, text):
    found = read(symbols, blank=blank)
    sure = float(torch.tensor([4.0, 0.0, 0.0]).softmax(0)[0])
    assert (found["label"], found["known"], found["threshold"], found["matches"]) == (text, True, None, [])
    assert found["score"] == pytest.approx(sure)


def test_nothing_written_is_an_empty_text():
    found = read([0, 0, 0])
    assert (found["label"], found["known"], found["score"]) == ("", False, 0.0)
    assert read([1, 2, 3], "漢字é")["label"] == "漢字é"


def test_an_answer_that_is_no_number():
    facts, _ = TASK.resolve({"head": "ctc", "alphabet": "ab"}, {})
    with pytest.raises(RunError, match="NaN"):
        TASK.host["read"]({"probabilities": np.full((1, 3, 3), np.nan)}, facts)


class Lines(torch.nn.Module):
    """Pictures of height 16 and any width -> logits of a blank and two characters, a column for every four pixels."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.conv, self.fc = torch.nn.Conv2d(1, 8, (16, 4), stride=4), torch.nn.Linear(8, 3)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.fc(self.conv(x).squeeze(2).transpose(1, 2))


def test_a_reader_of_one_height_takes_lines_of_any_width(tmp_path):
    folder, model = tmp_path / "lines", Lines().eval()
    folder.mkdir()
    rng = np.random.default_rng(0)
    widths = (40, 67, 120, 67)
    for i, width in enumerate(widths):
        Image.fromarray(rng.integers(0, 256, (16, width), np.uint8)).save(folder / f"{i}_ab.png")
    settings = {"head": "ctc", "alphabet": "ab", "resize": 16, "color": "L", "mean": 0.5, "std": 0.5}
    outcome = torchport.deploy(
        model,
        tmp_path / "x.tport",
        task="image-recognition",
        data=folder,
        settings=settings,
        targets=["onnx"],
        recipes=["fp32"],
        quick=True,
    )
    assert outcome.bundle is not None
    with torchport.load(tmp_path / "x.tport") as predictor:
        assert predictor.bundle.manifest.graphs["model"].inputs[0].shape == ("batch", 1, 16, "width")
        for path, width in zip(sorted(folder.iterdir()), widths, strict=True):
            values = predictor.values(path.read_bytes())
            pixels = torch.from_numpy(values["pixels"])
            assert pixels.shape == (1, 1, 16, width)
            (logits,) = predictor.outputs(values).values()
            torch.testing.assert_close(torch.from_numpy(logits), model(pixels), rtol=1e-4, atol=1e-5)
        Image.fromarray(rng.integers(0, 256, (40, 30), np.uint8)).save(tmp_path / "upright.png")
        assert predictor.values((tmp_path / "upright.png").read_bytes())["pixels"].shape == (1, 1, 16, 12)


# with networks that were trained
