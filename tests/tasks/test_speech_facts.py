"""Speech recognition before the model: its facts, its data, and how words are counted."""

from __future__ import annotations

import json

import pytest
from msgspec.structs import replace

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
    assert [(item.name, item.label) for item in TASK.items(folder, facts)] == [
        ("short.wav", "one two"),
        ("long.wav", "three four five"),
    ]
    (folder / "transcripts.csv").unlink()
    (folder / "long.txt").write_text("eight\n")
    assert [(item.name, item.label) for item in TASK.items(folder, facts)] == [
        ("long.wav", "eight"),
        ("short.wav", None),
    ]
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
    [
        ({"timestamps": "perhaps"}, "it takes true or false"),
        ({"sampling_rate": "1"}, "it takes a whole number, 1000 to 192000"),
        ({"vocabulary": "none.json"}, "cannot be read"),
        ({"tokenizer": "none.json"}, "none.json"),
    ],
)
def test_settings_that_mean_nothing_are_refused(settings, said):
    with pytest.raises(UsageError, match=said):
        TASK.resolve(settings, {})


def test_a_vocabulary_is_read_in_the_order_of_its_indices(tmp_path):
    path = tmp_path / "vocab.json"
    path.write_text(json.dumps({"b": 1, "a": 0}))
    assert TASK.resolve({"vocabulary": str(path)}, {})[0].vocabulary == ("a", "b")
    path.write_text(json.dumps({"b": 1}))
    with pytest.raises(UsageError, match="from 0 on"):
        TASK.resolve({"vocabulary": str(path)}, {})


def test_a_hugging_face_folder_states_the_facts(tmp_path):
    from transformers import WhisperFeatureExtractor

    from torchport.frontend.huggingface import open_folder

    tiny.whisper().save_pretrained(tmp_path)
    WhisperFeatureExtractor(feature_size=8, chunk_length=1).save_pretrained(tmp_path)
    tiny.tokenizer_file(tmp_path / "tokenizer.json")
    found = open_folder(tmp_path)
    model, stated = found.module, found.facts
    facts, assumed = TASK.resolve({}, stated)
    assert assumed == ()
    assert (facts.bands, facts.frame, facts.hop, facts.tokenizer) == (
        8,
        400,
        160,
        tmp_path / "tokenizer.json",
    )
    told, _ = whisper.told(model, facts)
    assert (told.window, told.prompt, told.no_timestamps, told.end, told.stamps) == (1.0, (9,), (10,), 8, 11)


def told(tmp_path, wanted, **stated):
    """Facts of a Whisper whose tokenizer knows `<|en|>` and `<|de|>`, by what its generation config states."""
    pytest.importorskip("transformers")
    path = tiny.tokenizer_file(tmp_path / "tokenizer.json")
    path.write_text(
        path.read_text()
        .replace('"six"', '"<|transcribe|>"')
        .replace('"seven"', '"<|en|>"')
        .replace('"eight"', '"<|de|>"')
    )
    model = tiny.whisper()
    for name, value in stated.items():
        setattr(model.generation_config, name, value)
    made, _ = whisper.told(model, TASK.resolve({"tokenizer": str(path), "language": wanted}, {})[0])
    whisper.check_language(made)
    return made


def test_a_language_that_only_the_tokenizer_knows_is_used(tmp_path):
    made = told(tmp_path, "en")
    assert made.languages == {"en": 6, "de": 7}
    assert made.prompt[1:] == (5,)
    assert told(tmp_path, None).languages == {}
    assert told(tmp_path, None, is_multilingual=True).languages == {"en": 6, "de": 7}


def test_a_language_that_the_model_does_not_know_is_refused(tmp_path):
    with pytest.raises(UsageError, match=r"no language 'xx'.*it knows de, en"):
        told(tmp_path, "xx")
    with pytest.raises(UsageError, match="marks no languages"):
        told(tmp_path, "en", is_multilingual=False)


def test_what_the_generation_config_asks_for_is_done(tmp_path):
    assert told(tmp_path, None, lang_to_id={"<|de|>": 7}, language="<|de|>").language == "de"
    assert told(tmp_path, None, forced_decoder_ids=[[1, 6], [2, 5]]).language == "en"


def test_a_language_is_checked_when_a_bundle_is_opened(tmp_path):
    made = told(tmp_path, "en")
    assert TASK.override(made, {"language": "de"}).language == "de"
    with pytest.raises(UsageError, match="no language 'xx'"):
        TASK.override(made, {"language": "xx"})
    with pytest.raises(UsageError, match="has no effect"):
        TASK.override(replace(made, family="ctc"), {"language": "en"})
