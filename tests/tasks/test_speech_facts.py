"""Speech recognition before the model: its facts, its data, and how words are counted."""

from __future__ import annotations

import json

import pytest

from torchport.errors import BadInput, UsageError
from torchport.tasks import tasks
from torchport.tasks.shared import spoken, whisper
from torchport.testing.samples import speech_recognition as tiny

TASK = tasks.get("speech-recognition")


@pytest.mark.parametrize(
    ("heard_text", "said", "score"),
    [
        ("Mr. Bell, 10 of cold-hearted clubs!", "mister bell ten of cold hearted clubs", 1.0),
        ("four queen of clothes", "four queen of clubs", 0.75),
        ("", "", 1.0),
        ("anything", "", 0.0),
        ("今天天气很好。", "今天天气真好", 5 / 6),
        ("one two three four", "two", 0.0),
        ("342", "three hundred forty two", 1.0),
    ],
)
def test_words_are_counted_as_they_are_spoken(heard_text, said, score):
    assert spoken.accuracy(heard_text, said) == pytest.approx(score)
    assert TASK.score({"text": heard_text}, said) == pytest.approx(score)


def test_transcripts_come_from_a_table_or_from_beside(tmp_path):
    folder = tiny.recordings(tmp_path / "a")
    facts, _ = TASK.resolve({}, {})
    assert [(item.name, item.label) for item in TASK.items(folder, facts)] == [("short.wav", "one two"), ("long.wav", "three four five")]
    (folder / "transcripts.csv").unlink()
    (folder / "long.txt").write_text("eight\n")
    assert [(item.name, item.label) for item in TASK.items(folder, facts)] == [("long.wav", "eight"), ("short.wav", None)]
    assert TASK.items(folder / "short.wav", facts)[0].read()[:4] == b"RIFF"
    (folder / "t.csv").write_text("file,text\nnone.wav,one\n")
    with pytest.raises(BadInput, match=r"no file 'none\.wav'"):
        TASK.items(folder, facts)
    with pytest.raises(BadInput, match="holds no recording"):
        TASK.items(tmp_path.joinpath("b").mkdir() or tmp_path / "b", facts)
    with pytest.raises(BadInput, match="does not exist"):
        TASK.items(tmp_path / "c", facts)


@pytest.mark.parametrize(
    ("settings", "said"),
    [({"timestamps": "perhaps"}, "neither true nor false"), ({"sampling_rate": "1"}, "no number"), ({"vocabulary": "none.json"}, "cannot be read"), ({"tokenizer": "none.json"}, "none.json")],
)
def test_settings_that_mean_nothing_are_refused(settings, said):
    with pytest.raises(UsageError, match=said):
        TASK.resolve(settings, {})


def test_a_vocabulary_is_read_in_the_order_of_its_indices(tmp_path):
    path = tmp_path / "vocab.json"
    path.write_text(json.dumps({"b": 1, "a": 0}))
    assert TASK.resolve({"vocabulary": str(path)}, {})[0]["vocabulary"] == ["a", "b"]
    path.write_text(json.dumps({"b": 1}))
    with pytest.raises(UsageError, match="from 0 on"):
        TASK.resolve({"vocabulary": str(path)}, {})


def test_a_hugging_face_folder_states_the_facts(tmp_path):
    from transformers import WhisperFeatureExtractor

    from torchport.capture.huggingface import open_folder

    tiny.whisper().save_pretrained(tmp_path)
    WhisperFeatureExtractor(feature_size=8, chunk_length=1).save_pretrained(tmp_path)
    tiny.tokenizer_file(tmp_path / "tokenizer.json")
    model, stated = open_folder(tmp_path)
    facts, assumed = TASK.resolve({}, stated)
    assert assumed == ()
    assert (facts["bands"], facts["frame"], facts["hop"], facts["tokenizer"]) == (8, 400, 160, tmp_path / "tokenizer.json")
    told = whisper.told(model, facts)
    assert (told["window"], told["prompt"], told["no_timestamps"], told["end"], told["stamps"]) == (1.0, [9], [10], 8, 11)
