"""object-tracking: videos in many forms to numbered boxes, sessions, drawn answers, facts; and a real game."""

from __future__ import annotations

import json
import zipfile
from pathlib import Path

import msgspec
import numpy as np
import pytest

import torchport
from torchport.cli.files import expand
from torchport.errors import BadInput, UsageError
from torchport.tasks import tasks
from torchport.tasks.object_tracking import Tracks
from torchport.tasks.shared import mot, video
from torchport.testing.samples.object_tracking import SETTINGS, Squares, frame, places, sample, truth

TASK = tasks.get("object-tracking")


@pytest.fixture(scope="module")
def data(tmp_path_factory) -> Path:
    return sample(tmp_path_factory.mktemp("videos")).data


@pytest.fixture(scope="module")
def bundle(data, tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("bundle") / "squares.tport"
    torchport.deploy(
        Squares().eval(), path, task="object-tracking", data=data, settings=SETTINGS, targets=["onnx"], recipes=["fp32"]
    )
    return path


@pytest.fixture
def predictor(bundle):
    with torchport.load(bundle) as opened:
        yield opened


def seen(result: dict) -> list[list[tuple[int, str, list[int]]]]:
    return [
        [(one["id"], one["label"], [round(edge) for edge in one["box"]]) for one in shown["tracks"]]
        for shown in result["frames"]
    ]


def expected(count: int) -> list[list[tuple[int, str, list[int]]]]:
    return [
        [(kind + 1, ("red", "green")[kind], [x, y, x + 8, y + 8]) for kind, (x, y) in enumerate(places(number))]
        for number in range(count)
    ]


@pytest.mark.parametrize(("name", "count", "rate"), [("film.mp4", 10, 10.0), ("moving.apng", 6, 10.0)])
def test_a_video_becomes_tracks(predictor, data, name, count, rate):
    result = predictor.predict(data / name)
    assert seen(result) == expected(count)
    assert {key: result[key] for key in ("count", "width", "height", "rate", "notes")} == {
        "count": 2,
        "width": 64,
        "height": 40,
        "rate": rate,
        "notes": [],
    }
    assert msgspec.convert(json.loads(json.dumps(result)), Tracks).frames[0].tracks[1].label == "green"


def test_the_deployed_accuracy_is_that_of_the_labels(bundle):
    manifest = json.loads((bundle / "torchport.json").read_text())
    reference = manifest["evidence"]["reference"]
    assert reference["accuracy"] == 1.0
    assert all(
        row["status"] in ("ok", "chosen") for row in manifest["evidence"]["candidates"] if row["target"] == "onnx"
    )


def test_frames_pushed_one_by_one_give_what_the_video_gives(predictor, data):
    session = predictor.session()
    parts = [session.push(frame(number)) for number in range(6)]
    whole = session.finish()
    assert whole["frames"] == parts
    assert seen(whole) == seen(predictor.predict(data / "moving.apng"))
    assert parts[2]["frame"] == 3 and parts[2]["tracks"][0]["id"] == 1


def test_two_sessions_do_not_know_of_each_other(predictor):
    one, other = predictor.session(), predictor.session()
    one.push(frame(0)), one.push(frame(1))
    assert other.push(frame(5))["frame"] == 1


def test_a_session_takes_pictures_and_refuses_what_is_no_frame(predictor, data):
    session = predictor.session()
    with pytest.raises(BadInput, match="no frames"):
        predictor.session().finish()
    session.push((data / "frames" / "0.png").read_bytes())
    for wrong, message in (
        (frame(1)[:20], "64x20 pixels, those before are 64x40"),
        (b"junk", "not a picture"),
        (frame(1).astype(float), "float64"),
        (None, "NoneType"),
    ):
        with pytest.raises(BadInput, match=message):
            session.push(wrong)
    assert session.push(frame(1))["frame"] == 2
    session.finish()
    for call in (session.finish, lambda: session.push(frame(0))):
        with pytest.raises(UsageError, match="finished"):
            call()


def test_streaming_shows_each_frame_as_it_comes(predictor, data):
    parts = list(predictor.stream(data / "moving.apng"))
    assert parts == predictor.predict(data / "moving.apng")["frames"]


def test_a_video_that_is_cut_off_is_tracked_to_there_with_a_note(predictor, data):
    raw = (data / "moving.apng").read_bytes()
    result = predictor.predict(raw[: raw.rindex(b"fdAT") + 40])
    assert 0 < len(result["frames"]) < 6
    assert "breaks off" in result["notes"][0]
    assert result["notes"][0] in TASK.lines(result)


def test_bad_input(predictor, data, tmp_path):
    changing = tmp_path / "sizes.zip"
    with zipfile.ZipFile(changing, "w") as archive:
        archive.write(data / "frames" / "0.png", "0.png")
        archive.writestr("1.png", _png(frame(1)[:20]))
    for raw, message in (
        (b"", "empty"),
        (b"no video", "not a video"),
        (changing.read_bytes(), "frame 2 is 64x20"),
        (b"GIF89a\1\0\1\0\0\0\0;", "cannot be read"),
    ):
        with pytest.raises(BadInput, match=message):
            predictor.predict(raw)


def _png(pixels: np.ndarray) -> bytes:
    import io

    from PIL import Image

    content = io.BytesIO()
    Image.fromarray(pixels).save(content, "PNG")
    return content.getvalue()


def test_the_drawn_answer_is_a_video_and_mot_text(predictor, data, tmp_path):
    values = predictor.values(data / "film.mp4")
    drawn = predictor.drawn(values)
    assert sorted(drawn) == [".mot.txt", ".mp4"]
    clip = video.Clip(drawn[".mp4"])
    frames = list(clip)
    assert len(frames) == 10 and frames[0].shape == (320, 512, 3) and clip.rate == 10
    assert frames[0][6 * 8, 6 * 8 + 30].max() > 150  # the red square's upper edge, in the colour of its track
    path = tmp_path / "film.mot.txt"
    path.write_bytes(drawn[".mot.txt"])
    assert mot.mota(values["result"]["frames"], mot.read(path)) == 1.0


def test_items_of_a_folder_with_their_truth(data):
    items = TASK.items(data, TASK.facts())
    assert [item.name for item in items] == ["film.mp4", "frames", "moving.apng"]
    assert items[0].label == truth(10) and items[1].label == truth(8) and items[2].label == truth(6)
    assert [len(list(video.Clip(item.read()))) for item in items] == [10, 8, 6]
    assert [item.name for item in TASK.items(data / "frames", TASK.facts())] == ["frames"]
    assert [item.name for item in TASK.items(data / "film.mp4", TASK.facts())] == ["film.mp4"]


def test_a_sequence_of_the_motchallenge_and_one_of_coco(data, tmp_path):
    sequence, coco = tmp_path / "run" / "MOT-01", tmp_path / "run" / "coco"
    for folder in (sequence / "img1", sequence / "gt", coco):
        folder.mkdir(parents=True)
    for folder in (sequence / "img1", coco):
        (folder / "000001.png").write_bytes(_png(frame(0)))
    (sequence / "gt" / "gt.txt").write_text(mot.write(truth(1)))
    annotations = [
        {"image_id": 1, "track_id": row[1], "category_id": row[2], "bbox": [row[3], row[4], 8, 8]} for row in truth(1)
    ]
    document = {
        "images": [{"id": 1, "file_name": "000001.png"}],
        "annotations": annotations,
        "categories": [{"id": 0, "name": "red"}, {"id": 1, "name": "green"}],
    }
    (coco / "instances.json").write_text(json.dumps(document))
    items = TASK.items(tmp_path / "run", TASK.facts())
    assert [(item.name, item.label) for item in items] == [("MOT-01", truth(1)), ("coco", truth(1))]
    with pytest.raises(BadInput, match="no videos"):
        TASK.items(sequence / "gt", TASK.facts())
    with pytest.raises(BadInput, match="does not exist"):
        TASK.items(tmp_path / "nothing", TASK.facts())


def test_a_folder_of_frames_is_one_input_of_predict(predictor, data):
    assert seen(predictor.predict(data / "frames")) == expected(8)
    assert [path.name for path in expand([data], TASK.suffixes, TASK.whole)] == ["film.mp4", "frames", "moving.apng"]
    assert [path.name for path in expand([data / "frames"], TASK.suffixes, TASK.whole)] == ["frames"]
    assert [
        len(result["frames"]) for result, _, _ in predictor.predict_each(expand([data], TASK.suffixes, TASK.whole))
    ] == [10, 8, 6]
    with pytest.raises(BadInput, match="No such file"):
        predictor.predict(data / "nothing.mp4")


def test_facts():
    facts, assumed = TASK.resolve({**SETTINGS, "jump": '{"red": 40, "green": null}', "wrap": "x", "max_age": "7"}, {})
    assert facts.jump == {"red": 40.0, "green": None} and facts.wrap == "x" and facts.max_age == 7
    assert TASK.check(facts) == facts
    assert "high" not in assumed and "threshold" not in assumed and "mean" in assumed
    assert TASK.resolve({**SETTINGS, "jump": "red,green"}, {})[0].jump == {"red": None, "green": None}
    assert any(line == "wrap: x" for line in TASK.describe(facts))


@pytest.mark.parametrize(
    ("setting", "value", "message"),
    [
        ("jump", "blue", "'blue', which is not a label"),
        ("jump", {"red": -1}, "-1 pixels"),
        ("wrap", "z", "wrap is 'z'"),
        ("high", 2, "high is 2"),
        ("buffer", "wide", "buffer is 'wide'"),
        ("max_age", -1, "max_age is -1"),
        ("min_hits", 0, "min_hits is 0"),
        ("speed", 1, "no setting 'speed'"),
    ],
)
def test_impossible_facts(setting, value, message):
    with pytest.raises(UsageError, match=message):
        TASK.resolve({**SETTINGS, setting: value}, {})


def test_classes_without_labels_are_numbers():
    facts, _ = TASK.resolve({**SETTINGS, "labels": None, "jump": ["0"]}, {})
    assert facts.jump == {"0": None}
    with pytest.raises(UsageError, match="classes are numbers"):
        TASK.resolve({**SETTINGS, "labels": None, "jump": ["red"]}, {})


def test_answers_are_alike_whatever_their_numbers():
    def result(*, first: int, shift: float = 0.0, switch: int = 99) -> dict:
        shown = []
        for number in range(50):
            tracks = [
                {
                    "id": first + (kind ^ (number >= switch)),
                    "index": kind,
                    "label": "",
                    "score": 1.0,
                    "box": [x + shift, y, x + 8 + shift, y + 8],
                }
                for kind, (x, y) in enumerate(places(number))
            ]
            shown.append({"frame": number + 1, "tracks": tracks})
        return {"frames": shown, "count": 2, "notes": []}

    assert TASK.agree(result(first=7), result(first=1))
    assert TASK.agree(result(first=1, switch=25), result(first=1))  # two switches among a hundred boxes
    assert not TASK.agree(result(first=1, shift=6.0), result(first=1))
    assert TASK.score(result(first=1), truth(50)) == 1.0
    assert TASK.score(result(first=1, shift=6.0), truth(50)) == 0.0
    assert TASK.words(result(first=1)) == "2 tracks in 50 frames"


def test_a_thumbnail_is_the_first_frame(data):
    assert TASK.thumbnail((data / "film.mp4").read_bytes())[:2] == b"\xff\xd8"
    assert TASK.illustrate((data / "film.mp4").read_bytes(), {"frames": [{"tracks": []}]})[:2] == b"\xff\xd8"
    assert TASK.thumbnail(b"junk") is None


def test_a_real_game_is_tracked_as_by_the_eager_detector(tmp_path):
    pytest.importorskip("ale_py")
    import sys

    sys.path.insert(0, str(Path(__file__).parents[2] / "benchmarks" / "tasks"))
    try:
        import game_detector
        import object_tracking as scenario
    finally:
        sys.path.pop(0)
    scenario.clips("freeway", tmp_path / "clips", (90,), 6)
    model = game_detector.freeway()
    torchport.deploy(
        model,
        tmp_path / "freeway.tport",
        task="object-tracking",
        data=tmp_path / "clips",
        settings=scenario.settings("freeway"),
        targets=["onnx"],
        recipes=["fp32"],
    )
    frames, boxes = game_detector.some("freeway", 40, scenario.SEED)
    with torchport.load(tmp_path / "freeway.tport", threads=1) as predictor:
        answer = scenario.plain(scenario.deployed(predictor, frames))
    reference = scenario.eager(model, "freeway", frames)
    assert sum(scenario.same(*pair) for pair in zip(answer, reference, strict=True)) == 40
    assert scenario.accuracy(boxes, answer)[0] > 0.98
