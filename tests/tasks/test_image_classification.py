"""The task as a whole: facts, the user's pictures, the chain from bytes to labels, and what is said where something
does not fit.
"""

from __future__ import annotations

import io
import json
import shutil
import subprocess
import sys
import tracemalloc

import numpy as np
import pytest
import torch
from PIL import Image

from torchport.errors import BadInput, RunError, UsageError
from torchport.tasks import Pipeline, Plan, tasks
from torchport.types import Bound, Signature, TensorSpec

TASK = tasks.get("image-classification")
SMALL = {"resize": "24", "crop": "16", "mean": "0.5", "std": "0.5"}


def signature(classes: int = 4, side: int | str = 16, name: str = "logits") -> Signature:
    return Signature(
        inputs=(TensorSpec(name="x", dtype="float32", shape=("batch", 3, side, side)),),
        outputs=(TensorSpec(name=name, dtype="float32", shape=("batch", classes)),),
        dims={"batch": Bound()},
    )


def resolved(**settings):
    return TASK.resolve({**SMALL, **settings}, {})[0]


def picture(color=(200, 30, 40), size=(40, 30), kind: str = "PNG") -> bytes:
    out = io.BytesIO()
    Image.new("RGB", size, color).save(out, kind)
    return out.getvalue()


def folder_of(folder, *names):
    for name in names:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(picture())
    return folder


class OfModule:
    """A runner that calls a torch module."""

    def __init__(self, module, **io):
        self.module, self.signature = (
            module,
            Signature(inputs=tuple(TensorSpec(name=name, dtype="float32", shape=()) for name in io), outputs=()),
        )
        self.graph = type(
            "Graph", (), {"io": {name: type("IO", (), {"max_shape": bound}) for name, bound in io.items()}}
        )

    def run(self, feed):
        with torch.no_grad():
            return {
                name: value.numpy()
                for name, value in self.module(
                    *(torch.from_numpy(np.ascontiguousarray(array)) for array in feed.values())
                ).items()
            }


class MeanColor(torch.nn.Module):
    """Scores red, green, blue and nothing by the mean of each channel."""

    def forward(self, x):
        means = x.mean(dim=(2, 3)) * 4
        return {"logits": torch.cat([means, torch.zeros_like(means[:, :1])], dim=1)}


def pipeline(facts, in_graph=False, model=None, max_shape=None):
    made = {"model": OfModule(model or MeanColor(), x=None)}
    for name, graph in TASK.graphs(facts, signature(), []).items():
        made[name] = OfModule(graph.module, **dict.fromkeys(graph.examples, max_shape))
    return Pipeline(Plan(TASK, facts, TASK.steps(facts, signature()), {}), made, in_graph)


def test_settings_win_over_the_source_and_what_is_left_is_named():
    facts, assumed = TASK.resolve(
        {"mean": "127", "std": "128", "scale": "255"}, {"mean": [0.5] * 3, "interpolation": "bicubic", "hidden": 1}
    )
    assert facts.mean == (127.0,) * 3
    assert facts.interpolation == "bicubic"
    assert set(assumed) == {"activation", "antialias", "color", "crop", "reducing_gap", "resize"}
    assert TASK.check(facts) == facts


def test_a_stretch_is_not_cropped_unless_asked():
    assert TASK.resolve({"resize": "96,128"}, {})[0].crop is None
    assert TASK.resolve({"resize": "96,128", "crop": "64"}, {})[0].crop == 64
    assert TASK.resolve({}, {"resize": [96, 128]})[0].crop is None


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"size": "3"}, "no setting 'size'"),
        ({"scale": "255"}, "mean and std"),
        ({"activation": "relu"}, "softmax, sigmoid or none"),
        ({"top": "0"}, "1 to 1073741824"),
        ({"labels": "/no/such/file"}, "one name a line"),
    ],
)
def test_impossible_settings(settings, said):
    with pytest.raises(UsageError, match=said):
        TASK.resolve(settings, {})


def test_labels_from_a_file_a_list_and_the_one_that_ships(tmp_path):
    path = tmp_path / "names é.txt"
    path.write_text("\ufeffcat\r\ndog, hound\r\n\r\n", encoding="utf-8")
    assert resolved(labels=str(path)).labels == ("cat", "dog, hound")
    assert resolved(labels=["a", "b"]).labels == ("a", "b")
    names = resolved(labels="imagenet-1k").labels
    assert len(names) == len(set(map(str.lower, names))) == 1000
    assert (names[0], names[243], names[949], names[999]) == ("tench", "bull mastiff", "strawberry", "toilet tissue")
    path.write_text("\n")
    with pytest.raises(UsageError, match="is empty"):
        resolved(labels=str(path))


@pytest.mark.parametrize("in_graph", [False, True])
@pytest.mark.parametrize("activation", ["softmax", "sigmoid", "none"])
def test_from_bytes_to_labels(activation, in_graph):
    facts = resolved(labels=["red", "green", "blue", "none"], activation=activation, top="2")
    values = pipeline(facts, in_graph).answer(picture((200, 30, 140)))
    assert set(values) >= {"raw", "image", "pixels", "logits", "result"}
    logits = torch.from_numpy(values["logits"])
    expected = {"softmax": logits.softmax(1), "sigmoid": logits.sigmoid(), "none": logits}[activation][0]
    first, second = values["result"]["labels"]
    assert (first["index"], first["label"], second["index"], second["label"]) == (0, "red", 2, "blue")
    assert first["score"] == pytest.approx(float(expected[0]), rel=1e-6)
    assert json.loads(json.dumps(values["result"])) == values["result"]


@pytest.mark.parametrize(
    "setting", [{}, {"color": "BGR"}, {"interpolation": "bicubic"}, {"resize": "20,16"}, {"antialias": "false"}]
)
def test_host_and_graph_answer_alike(setting):
    facts = resolved(**setting)
    noise = np.random.default_rng(1).integers(0, 256, (57, 83, 3), np.uint8)
    raw = io.BytesIO()
    Image.fromarray(noise).save(raw, "PNG")
    host, graph = (pipeline(facts, way).answer(raw.getvalue())["pixels"] for way in (False, True))
    assert host.dtype == graph.dtype == np.float32
    np.testing.assert_allclose(host, graph, atol=1.01 / 127.5)
    with_bound = pipeline(facts, True, max_shape=(40, 50, 3)).answer(raw.getvalue())["pixels"]
    assert with_bound.shape == host.shape


def test_a_reducing_gap_keeps_preprocessing_on_the_host():
    facts = resolved(reducing_gap="3")
    assert set(TASK.graphs(facts, signature(), [])) == {"postprocess"}
    steps = {step.name: step for step in TASK.steps(facts, signature())}
    assert (steps["preprocess"].graph, steps["preprocess"].fit) == (None, None)
    assert pipeline(facts, in_graph=True).answer(picture())["result"]["labels"][0]["index"] == 0


def test_steps_are_wired_to_the_models_names():
    steps = TASK.steps(resolved(), signature(name="scores"))
    assert [step.name for step in steps] == ["decode", "preprocess", "model", "postprocess", "present"]
    assert steps[2].inputs == {"x": "pixels"}
    assert steps[2].outputs == {"scores": "model_scores"}
    assert steps[3].inputs == {"logits": "model_scores"}


def test_graphs_are_captured_with_a_real_picture(tmp_path):
    facts = resolved()
    graphs = TASK.graphs(facts, signature(), TASK.items(folder_of(tmp_path, "a.png"), facts))
    example = graphs["preprocess"].examples["image"]
    assert (example.shape, example.dtype) == ((300, 320, 3), np.uint8)
    assert example[0, 0].tolist() == [200, 30, 40]
    assert graphs["preprocess"].dims == {"image": {0: "height", 1: "width"}}
    assert graphs["preprocess"].bounds == {"height": (1, None), "width": (1, None)}
    assert graphs["postprocess"].dims == {"logits": {0: "batch"}}


@pytest.mark.parametrize(
    ("model", "said"),
    [
        (signature(classes=5), "labels has 4 names, the model answers 5"),
        (signature(side=32), r"takes float32\[batch,3,32,32\], the facts give float32\[batch,3,16,16\]"),
        (Signature(inputs=signature().inputs * 2, outputs=signature().outputs), "takes 2 inputs"),
        (Signature(inputs=signature().inputs, outputs=signature().inputs), "first output is"),
    ],
)
def test_a_model_that_does_not_fit(model, said):
    with pytest.raises(BadInput, match=said):
        TASK.steps(resolved(labels=list("abcd")), model)


def test_dynamic_height_and_width_fit():
    assert TASK.steps(resolved(), signature(side="side"))


@pytest.mark.parametrize("activation", ["softmax", "sigmoid", "none"])
def test_an_answer_that_is_no_number(activation):
    class Broken(torch.nn.Module):
        def forward(self, x):
            return {"logits": torch.tensor([[0.0, torch.nan, 1.0, 2.0]])}

    with pytest.raises(RunError, match="NaN"):
        pipeline(resolved(activation=activation), model=Broken()).answer(picture())


def test_score_and_agreement():
    result, other = ({"labels": [{"index": index, "label": "", "score": 1.0}]} for index in (3, 4))
    assert (TASK.score(result, 3), TASK.score(result, 4)) == (1.0, 0.0)
    assert TASK.agree(result, result) and not TASK.agree(result, other)
    assert "labels: 1000 names" in TASK.describe(resolved(labels="imagenet-1k"))


def test_items_labelled_by_file_name(tmp_path):
    folder = folder_of(tmp_path, "photo_00_3.png", "photo_01_12.JPG", ".hidden_1.png")
    (folder / "notes.txt").write_text("not a picture")
    items = TASK.items(folder, resolved())
    assert [(item.name, item.label) for item in items] == [("photo_00_3.png", 3), ("photo_01_12.JPG", 12)]
    assert items[0].read() == picture()


@pytest.mark.parametrize("names", [("IMG_0001.png", "IMG_0002.png"), ("a_1.png", "b.png"), ("a_9.png", "b_1.png")])
def test_names_that_only_look_labelled(tmp_path, names):
    items = TASK.items(folder_of(tmp_path, *names), resolved(labels=list("abcd")))
    assert [item.label for item in items] == [None, None]


def test_items_labelled_by_sub_folder(tmp_path):
    folder = folder_of(tmp_path, "dog/1.png", "cat/2.png", "cat/deep/1.png")
    (folder / "empty").mkdir()
    assert [(i.name, i.label) for i in TASK.items(folder, resolved())] == [
        ("cat/2.png", 0),
        ("cat/deep/1.png", 0),
        ("dog/1.png", 1),
    ]
    assert [i.label for i in TASK.items(folder, resolved(labels=["dog", "fox", "cat"]))] == [2, 2, 0]
    assert [i.label for i in TASK.items(folder, resolved(labels=["Katze", "Hund"]))] == [0, 0, 1]
    with pytest.raises(BadInput, match=r"'cat' of .* is not one of the 3 labels"):
        TASK.items(folder, resolved(labels=["dog", "fox", "owl"]))


def test_sub_folders_called_by_class_index(tmp_path):
    folder = folder_of(tmp_path, "7/a.png", "12/b.png")
    assert sorted(i.label for i in TASK.items(folder, resolved())) == [7, 12]


def test_items_of_a_csv_file_and_of_one_picture(tmp_path):
    folder = folder_of(tmp_path, "ä b.png", "c.png")
    table = folder / "labels.csv"
    table.write_text("\ufefffile,label\nc.png,1\nä b.png,dog\n", encoding="utf-8")
    facts = resolved(labels=["cat", "cow", "dog"])
    for data in (table, folder):
        assert [(i.name, i.label) for i in TASK.items(data, facts)] == [("c.png", 1), ("ä b.png", 2)]
    assert [(i.name, i.label) for i in TASK.items(folder / "c.png", facts)] == [("c.png", None)]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("name,class\na.png,1\n", "name, class.*file,label"),
        ("file,label\nnone.png,1\n", "line 2: there is no file 'none.png'"),
        ("file,label\na.png,owl\n", "'owl' is not a label"),
        ("file,label\na.png,9\n", "'9' is not a label"),
        ("file,label\n", "lists no picture"),
    ],
)
def test_a_csv_file_that_does_not_fit(tmp_path, text, said):
    (folder_of(tmp_path, "a.png") / "t.csv").write_text(text)
    with pytest.raises(BadInput, match=said):
        TASK.items(tmp_path, resolved(labels=["cat"]))


def test_no_pictures(tmp_path):
    with pytest.raises(BadInput, match="holds no picture"):
        TASK.items(tmp_path, resolved())
    with pytest.raises(BadInput, match="does not exist"):
        TASK.items(tmp_path / "none", resolved())


def test_feed_batches_what_the_model_takes(tmp_path):
    facts = resolved()
    folder = folder_of(tmp_path, "a.png", "b.png")
    shutil.copy(folder / "a.png", folder / "c.png")
    (feed,) = TASK.feed(TASK.items(folder, facts), facts, ["x"]).values()
    assert (feed.shape, feed.dtype) == ((3, 3, 16, 16), np.float32)
    np.testing.assert_allclose(feed[:, 0], 200 / 255 * 2 - 1, atol=1e-6)
    assert list(TASK.feed([], facts, None)) == ["input"]
    with pytest.raises(BadInput, match="takes 2 inputs"):
        TASK.feed([], facts, ["ids", "mask"])


def test_feed_names_the_picture_that_is_damaged(tmp_path):
    (folder_of(tmp_path, "a.png") / "b.png").write_bytes(picture()[:50])
    with pytest.raises(BadInput, match=r"^b\.png: the picture cannot be decoded"):
        TASK.feed(TASK.items(tmp_path, resolved()), resolved(), ["x"])


@pytest.mark.parametrize("in_graph", [False, True])
@pytest.mark.parametrize("size", [(1, 1), (1, 2000), (2000, 1)], ids=str)
def test_a_picture_of_one_pixel_or_one_row_is_answered(size, in_graph):
    assert pipeline(resolved(), in_graph).answer(picture(size=size))["result"]["labels"][0]["index"] == 0


def test_a_picture_of_100_megapixels_is_refused_before_it_is_decoded():
    raw = io.BytesIO()
    Image.new("1", (10_000, 10_000)).save(raw, "PNG")
    answer = pipeline(resolved()).answer
    tracemalloc.start()
    with pytest.raises(BadInput, match="more than 89 million pixels"):
        answer(raw.getvalue())
    assert tracemalloc.get_traced_memory()[1] < 2**20
    tracemalloc.stop()


@pytest.mark.parametrize(
    ("raw", "said"),
    [
        (b"", "empty"),
        ("一张照片".encode(), "not a picture"),
        (picture()[:60], "cannot be decoded"),
        (picture(kind="JPEG")[:-60], "cannot be decoded"),
    ],
)
def test_what_is_no_picture_or_half_of_one(raw, said):
    with pytest.raises(BadInput, match=said):
        pipeline(resolved()).answer(raw)


def test_the_run_half_imports_no_torch():
    code = (
        "import sys; from torchport.tasks import tasks; t = tasks.get('image-classification'); t.host; assert 'torch' "
        "not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
