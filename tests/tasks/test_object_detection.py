"""The task `object-detection`: heads, doubles, data and bad input with tiny models; game frames and MTCNN with the real
ones.
"""

from __future__ import annotations

import io
import json
import tracemalloc

import numpy as np
import pytest
import torch
from PIL import Image

import torchport
from torchport.errors import BadInput, UsageError
from torchport.predict import Predictor
from torchport.tasks.calls import exhaust, perform
from torchport.tasks.facts import read
from torchport.tasks.graphs import cascade_graphs, detection_graphs
from torchport.tasks.object_detection import ObjectDetection
from torchport.tasks.shared import boxes, cascade
from torchport.tasks.shared.detection_heads import guess
from torchport.testing.samples.object_detection import SQUARES, Squares, draw, sample
from torchport.types import Signature, TensorSpec

TASK = ObjectDetection()


def facts(**given):
    return TASK.check(read(TASK.facts, given))


def signature(**outputs):
    specs = tuple(TensorSpec(name=name, dtype="float32", shape=shape) for name, shape in outputs.items())
    return Signature(inputs=(TensorSpec(name="pixels", dtype="float32", shape=("batch", 3, 64, 64)),), outputs=specs)


def png(frame: np.ndarray, kind: str = "PNG") -> bytes:
    file = io.BytesIO()
    Image.fromarray(frame).save(file, kind)
    return file.getvalue()


# heads


def test_a_peak_of_the_heat_map_is_a_box():
    heat, box = torch.full((1, 2, 5, 6), -9.0), torch.zeros(1, 4, 5, 6)
    heat[0, 1, 2, 3], heat[0, 1, 2, 4] = 3.0, 2.0  # the neighbour is no peak
    box[0, :, 2, 3] = torch.tensor([0.5, 0.25, 1, 2])
    made = detection_graphs.Centers(facts(stride=4, box_unit=16))(heat, box)
    assert made["boxes"].shape == (1, 30, 4) and made["scores"].shape == (1, 30, 2)
    assert made["scores"][0, 2 * 6 + 3].tolist() == pytest.approx(
        [torch.tensor(-9.0).sigmoid().item(), torch.tensor(3.0).sigmoid().item()]
    )
    assert (made["scores"] > 0.01).sum() == 1
    assert made["boxes"][0, 2 * 6 + 3].tolist() == [14 - 8, 9 - 16, 14 + 8, 9 + 16]


def test_queries_are_shares_of_the_input():
    logits, shares = torch.tensor([[[2.0, 0.0, 1.0]]]), torch.tensor([[[0.5, 0.5, 0.5, 0.25]]])
    made = detection_graphs.Queries(facts(size=[40, 80]))(logits, shares)
    assert made["boxes"][0, 0].tolist() == [20, 15, 60, 25]
    assert made["scores"][0, 0].tolist() == pytest.approx(logits[0, 0].softmax(0)[:2].tolist())
    apart = detection_graphs.Queries(facts(size=[40, 80]), none=False)(logits, shares)
    assert apart["scores"][0, 0].tolist() == pytest.approx(logits[0, 0].sigmoid().tolist())


def test_rows_stand_or_lie():
    rows = torch.rand(2, 9, 7)
    lying, upright = (
        detection_graphs.Rows(facts())(rows),
        detection_graphs.Rows(facts(), upright=True)(rows.transpose(1, 2)),
    )
    assert all(torch.equal(lying[name], upright[name]) for name in ("boxes", "scores"))
    assert lying["scores"].shape == (2, 9, 3)
    assert lying["boxes"][0, 0].tolist() == pytest.approx(
        torch.cat([rows[0, 0, :2] - rows[0, 0, 2:4] / 2, rows[0, 0, :2] + rows[0, 0, 2:4] / 2]).tolist()
    )


@pytest.mark.parametrize(
    ("outputs", "head"),
    [
        ({"heat": ("batch", 2, 8, 8), "box": ("batch", 4, 8, 8)}, "centers"),
        ({"logits": ("batch", 10, 4), "pred_boxes": ("batch", 10, 4), "last_hidden_state": ("batch", 10, 8)}, "detr"),
        ({"output_0": ("batch", 64, 6)}, "yolo"),
        ({"output_0": ("batch", 6, 64)}, "yolo-upright"),
    ],
)
def test_a_head_is_known_by_its_outputs(outputs, head):
    assert guess(signature(**outputs)) == head
    assert TASK.bind(facts(), signature(**outputs)).head == head


def test_outputs_of_no_known_head_and_labels_that_do_not_fit():
    with pytest.raises(UsageError, match="no known head"):
        guess(signature(a=("batch", 2), b=("batch", 3)))
    with pytest.raises(BadInput, match="3 names, the model tells 2"):
        TASK.bind(facts(labels=["a", "b", "c"]), signature(output_0=("batch", 64, 6)))
    with pytest.raises(BadInput, match="this head reads heat, box"):
        TASK.bind(facts(head="centers"), signature(output_0=("batch", 64, 6)))


@pytest.mark.parametrize("seed", range(8))
def test_doubles_are_dropped_alike_in_a_graph_and_on_the_host(seed):
    random = np.random.default_rng(seed)
    corner = random.random((40, 2)) * 20
    found = np.hstack([corner, corner + 5 + random.random((40, 2)) * 15]).astype(np.float32)
    scores = random.random((40, 3)).astype(np.float32)
    known = facts(threshold=0.3, nms=0.3, top=30)
    host = boxes.best(found, scores, threshold=0.3, nms=0.3, top=30)
    graph = detection_graphs.Best(known, scores.size)(torch.from_numpy(found[None]), torch.from_numpy(scores[None]))[
        "found"
    ].numpy()
    assert 0 < (host[:, 4] > 0).sum() < 30
    np.testing.assert_allclose(graph, host, rtol=1e-6)


def test_a_chain_of_doubles_is_settled_in_order():
    found = np.array([[at * 4, 0, at * 4 + 10, 10] for at in range(12)], np.float32)  # each doubles the next only
    scores = np.linspace(0.9, 0.6, 12, dtype=np.float32)[:, None]
    graph = detection_graphs.Best(facts(nms=0.4, top=12), 12)(
        torch.from_numpy(found[None]), torch.from_numpy(scores[None])
    )["found"]
    assert (graph[:, 4] > 0).tolist() == [True, False] * 6


# facts and data


@pytest.mark.parametrize(
    "wrong",
    [
        {"head": "ssd"},
        {"size": [64]},
        {"fit": "warp"},
        {"pad": 300},
        {"nms": 2},
        {"threshold": "much"},
        {"top": 0},
        {"thresholds": "0.5,0.5"},
        {"min_size": 5},
        {"labels": "/nowhere"},
        {"factor": 1},
    ],
    ids=str,
)
def test_impossible_facts_are_refused(wrong):
    with pytest.raises(UsageError):
        facts(**wrong)


def test_facts_from_text_and_twice():
    known = facts(size="208,160", nms="none", thresholds="0.5,0.6,0.7", mean="0.5", labels=["a"])
    assert known.size == (208, 160) and known.nms is None and known.mean == (0.5,) * 3
    assert TASK.check(known) == known
    assert facts(size="64").size == (64, 64)


def test_pictures_with_a_coco_file_or_a_file_each(tmp_path):
    made = sample(tmp_path)
    items = TASK.items(tmp_path, facts())
    assert [item.name for item in items] == list(SQUARES)
    assert items[1].label == [{"index": 1, "box": [40, 8, 48, 16]}, {"index": 0, "box": [16, 40, 24, 48]}]
    assert str(items[1].label) == "2 boxes"
    assert TASK.items(tmp_path / "instances.json", facts(labels=["blue", "red"]))[0].label[0]["index"] == 1
    assert list(facts(labels=str(tmp_path / "instances.json")).labels or ()) == made.settings["labels"]
    (tmp_path / "instances.json").unlink()
    (tmp_path / "one.json").write_text(json.dumps({"boxes": [{"label": "red", "score": 0.9, "box": [8, 16, 16, 24]}]}))
    labels = {item.name: item.label for item in TASK.items(tmp_path, facts(labels=["red", "blue"]))}
    assert labels == {"none.png": None, "one.png": [{"index": 0, "box": [8, 16, 16, 24]}], "two.png": None}


@pytest.mark.parametrize(
    "content",
    [
        "{",
        '{"images": [], "annotations": [], "categories": []}',
        '{"images": [{"id": 1, "file_name": "gone.png"}], "annotations": [], "categories": []}',
        '{"annotations": 3}',
    ],
)
def test_damaged_labels_are_refused(content, tmp_path):
    sample(tmp_path)
    (tmp_path / "instances.json").write_text(content)
    with pytest.raises(BadInput, match="instances"):
        TASK.items(tmp_path, facts())


# a whole Bundle


@pytest.fixture(scope="module")
def bundle(tmp_path_factory):
    folder = tmp_path_factory.mktemp("squares")
    made = sample(folder)
    path = folder / "squares.tport"
    outcome = torchport.deploy(
        made.source,
        path,
        task=made.task,
        data=made.data,
        settings=made.settings,
        targets=["onnx", "openvino", "torchscript"],
        recipes=["fp32"],
        keep="all",
    )
    assert {row.id: row.status for row in outcome.choice.candidates if row.status == "failed"} == {}
    assert all(row.accuracy.value == 1 and row.agreement == 1 for row in outcome.choice.candidates)
    return path


@pytest.mark.parametrize("in_graph", [False, True])
@pytest.mark.parametrize("variant", ["onnx-fp32", "openvino-fp32", "torchscript-fp32"])
def test_boxes_are_in_pixels_of_a_picture_of_any_size(bundle, variant, in_graph):
    frame = draw(SQUARES["two.png"])
    wide = np.full((128, 256, 3), 128, np.uint8)  # seen at half its size, with 16 free rows above and below
    wide[0:128, 0:128] = frame.repeat(2, 0).repeat(2, 1)
    with Predictor(bundle, variant=variant, in_graph=in_graph, trust=True) as predictor:
        whole = predictor.predict(png(frame))["boxes"]
        assert [(one["label"], one["box"]) for one in whole] == [
            ("blue", [40, 8, 48, 16]),
            ("red", [16, 40, 24, 48]),
        ] or sorted(one["box"] for one in whole) == [[16, 40, 24, 48], [40, 8, 48, 16]]
        far = predictor.predict(png(frame.repeat(4, 0).repeat(4, 1)))["boxes"]
        assert sorted(one["box"] for one in far) == [[64, 160, 96, 192], [160, 32, 192, 64]]
        assert predictor.predict(png(np.full((1, 1, 3), 128, np.uint8)))["boxes"] == []
        assert predictor.predict(png(wide))["boxes"] is not None


def test_frames_go_in_as_they_are(bundle):
    with Predictor(bundle, variant="onnx-fp32") as predictor:
        session = predictor.session()
        with pytest.raises(BadInput, match="no frame"):
            session.finish()
        for name, squares in SQUARES.items():
            assert session.push(draw(squares)) == predictor.predict(png(draw(squares))), name
        assert session.push(png(draw(SQUARES["one.png"])))["boxes"][0]["label"] == "red"
        assert len(session.finish()["boxes"]) == 1
        for wrong in (np.zeros((4, 4)), np.zeros((4, 4, 3)), np.zeros((0, 4, 3), np.uint8)):
            with pytest.raises(BadInput, match="a frame is"):
                session.push(wrong)


def test_what_is_saved_shows_the_boxes(bundle):
    with Predictor(bundle, variant="onnx-fp32") as predictor:
        frame = draw(SQUARES["one.png"])
        values = predictor.values(png(frame))
        drawn = predictor.drawn(values)
        picture = np.asarray(Image.open(io.BytesIO(drawn[".png"])))
        assert picture.shape == (512, 512, 3)  # small ones are drawn larger
        assert (picture[16 * 8, 8 * 8 : 16 * 8] != 128).any()
        small = TASK.illustrate(png(frame), values["result"])
        assert small is not None and Image.open(io.BytesIO(small)).size == (320, 320)
        assert TASK.words(values["result"]) == "1 red" and len(TASK.lines(values["result"])) == 1


def test_bad_pictures_are_refused_and_great_ones_within_memory(bundle):
    jpeg = png(np.random.default_rng(0).integers(0, 256, (200, 200, 3), np.uint8), "JPEG")
    great = io.BytesIO()
    Image.new("L", (10_000, 10_000)).save(great, "PNG")
    with Predictor(bundle, variant="onnx-fp32") as predictor:
        for raw, reason in (
            (b"", "empty"),
            (b"no picture", "not a picture"),
            (jpeg[:-2000], "cannot be decoded"),
            (great.getvalue(), "89 million pixels"),
        ):
            with pytest.raises(BadInput, match=reason):
                predictor.predict(raw)
        large = png(np.full((6000, 5000, 3), 128, np.uint8))
        tracemalloc.start()
        assert predictor.predict(large)["boxes"] == []
        assert tracemalloc.get_traced_memory()[1] < 4 * 6000 * 5000 * 3
        tracemalloc.stop()


# real models


def test_a_hugging_face_folder_is_known_for_a_detector(tmp_path):
    transformers = pytest.importorskip("transformers")
    torch.manual_seed(0)
    config = transformers.YolosConfig(
        hidden_size=16,
        num_hidden_layers=1,
        num_attention_heads=2,
        intermediate_size=16,
        image_size=[32, 48],
        patch_size=16,
        num_detection_tokens=5,
        use_mid_position_embeddings=False,
        id2label={0: "cat", 1: "dog"},
    )
    transformers.YolosForObjectDetection(config).save_pretrained(tmp_path / "yolos")
    (tmp_path / "yolos" / "preprocessor_config.json").write_text(
        json.dumps({"size": {"height": 32, "width": 48}, "image_mean": [0.5] * 3, "image_std": [0.5] * 3})
    )
    (tmp_path / "data").mkdir()
    sample(tmp_path / "data")
    (tmp_path / "data" / "instances.json").unlink()
    outcome = torchport.deploy(
        str(tmp_path / "yolos"),
        tmp_path / "y.tport",
        task="object-detection",
        data=tmp_path / "data",
        settings={"threshold": 0.1},
        targets=["onnx"],
        recipes=["fp32"],
    )
    assert outcome.choice.chosen == "onnx-fp32"
    with Predictor(tmp_path / "y.tport") as predictor:
        found = predictor.predict(png(draw(SQUARES["one.png"])))["boxes"]
        assert predictor.pipeline.facts.head == "detr" and predictor.pipeline.facts.fit == "stretch"
        assert {one["label"] for one in found} <= {"cat", "dog"} and found


def test_a_cascade_answers_as_its_makers_code():
    import mtcnn

    known = facts()
    modules = {name: graph.module for name, graph in cascade_graphs.graphs(mtcnn.mtcnn(), known).items()}

    def call(name, feed):
        with torch.inference_mode():
            return {
                key: made.numpy()
                for key, made in modules[name](**{key: torch.from_numpy(array) for key, array in feed.items()}).items()
            }

    def drive(image):
        return exhaust(perform(cascade.drive({"image": image}, known), call))

    picture = Image.open(mtcnn.pictures() / "astronaut.png")
    found = drive(np.asarray(picture))
    edges, scores, points = mtcnn.reference().detect(picture, landmarks=True)
    assert len(found["found"]) == len(edges) == 1
    np.testing.assert_allclose(found["found"][:, :4], edges.astype(float), atol=0.01)
    np.testing.assert_allclose(found["found"][:, 4], scores.astype(float), atol=1e-5)
    np.testing.assert_allclose(found["points"], points.astype(float), atol=0.01)
    nothing = drive(np.zeros((1, 1, 3), np.uint8))
    assert nothing["found"].shape == (0, 6)


def test_a_cascade_is_known_by_its_modules():
    assert TASK.split(Squares(), facts(), []) is None
    with pytest.raises(BadInput, match="pnet, rnet, onet"):
        TASK.split(Squares(), facts(head="mtcnn"), [])
