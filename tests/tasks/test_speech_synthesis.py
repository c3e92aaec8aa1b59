"""Speech synthesis: symbols of a text, VITS in two graphs against transformers, windows and pieces, and what is
refused.
"""

from __future__ import annotations

import base64
import dataclasses
import json
import shutil
import wave
from io import BytesIO

import numpy as np
import piper_joe
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from torchport.errors import BadInput, MissingDependency, RunError, UsageError
from torchport.frontend.facts import from_speaker
from torchport.tasks import Item, Pipeline, Plan, tasks
from torchport.tasks.calls import perform
from torchport.tasks.graphs import vits
from torchport.tasks.shared import levels, phonemes
from torchport.testing.samples import sample_of

TASK = tasks.get("speech-synthesis")
needs_espeak = pytest.mark.skipif(
    shutil.which("espeak-ng") is None, reason="espeak-ng is not installed: scripts/system-packages"
)
CHINESE = "你好世界"


class Eager:
    """A split graph as a runtime would run it."""

    def __init__(self, module: torch.nn.Module) -> None:
        self.graph, self.lengths = module, []

    def run(self, feed):
        self.lengths.append(feed.get("latents", np.zeros((0, 0, 0))).shape[2])
        with torch.no_grad():
            return {
                name: value.numpy()
                for name, value in self.graph(**{name: torch.from_numpy(value) for name, value in feed.items()}).items()
            }


def opened(model, settings, text: str = "hello") -> Pipeline:
    facts, _ = TASK.resolve(settings, {})
    split = TASK.split(model, facts, [Item("a", text.encode)])
    return Pipeline(
        Plan(TASK, split.facts, TASK.steps(split.facts, None), {}),
        {name: Eager(graph.module) for name, graph in split.graphs.items()},
    )


@pytest.fixture(scope="module")
def sample(tmp_path_factory):
    return sample_of("speech-synthesis", tmp_path_factory.mktemp("sample"))


@pytest.fixture(scope="module")
def pipeline(sample):
    return opened(sample.source, sample.settings)


@pytest.mark.parametrize("text", ["hello you", CHINESE])
def test_without_noise_it_says_what_transformers_says(sample, text):
    facts = {"noise_scale": 0, "noise_scale_duration": "0", "length_scale": 3}
    values = opened(sample.source, {**sample.settings, **facts}).answer(text.encode())
    sample.source.noise_scale = sample.source.noise_scale_duration = 0.0
    sample.source.speaking_rate = 1 / 3
    with torch.no_grad():
        expected = sample.source(torch.from_numpy(values["ids"])[None]).waveform[0].numpy()
    assert values["phonemes"] == text
    assert values["waveform"].shape == expected.shape
    assert np.abs(values["waveform"] - expected).max() < 1e-5


def test_a_model_of_several_speakers_with_plain_durations_says_what_transformers_says(sample):
    from transformers import VitsConfig, VitsModel

    torch.manual_seed(1)
    config = {
        **sample.source.config.to_dict(),
        "num_speakers": 3,
        "speaker_embedding_size": 8,
        "use_stochastic_duration_prediction": False,
        "noise_scale": 0.0,
        "window_size": 2,
    }
    model = VitsModel(VitsConfig(**config)).eval()
    waveforms = []
    for speaker in (0, 2):
        values = opened(model, {**sample.settings, "speaker": speaker}).answer(b"hello")
        with torch.no_grad():
            expected = model(torch.from_numpy(values["ids"])[None], speaker_id=speaker).waveform[0].numpy()
        assert np.abs(values["waveform"] - expected).max() < 1e-5
        waveforms.append(values["waveform"])
    assert waveforms[0].shape != waveforms[1].shape or np.abs(waveforms[0] - waveforms[1]).max() > 1e-4
    with pytest.raises(UsageError, match="the model has 3, counted from 0"):
        opened(model, {**sample.settings, "speaker": 3})


def test_equal_texts_sound_equal_and_another_seed_sounds_otherwise(sample, pipeline):
    once, again = (pipeline.answer(b"hello you")["waveform"] for _ in range(2))
    assert (once == again).all()
    facts = replace(pipeline.facts, seed=1)
    other = Pipeline(dataclasses.replace(pipeline.plan, facts=facts), pipeline.runners).answer(b"hello you")["waveform"]
    assert other.shape != once.shape or np.abs(other - once).max() > 1e-3


def test_speech_in_windows_is_the_same_as_in_one_piece(sample, pipeline):
    latents = np.random.default_rng(0).normal(size=(8, 300)).astype(np.float32)
    speech, reach = Eager(pipeline.runners["speech"].graph), pipeline.facts.reach
    from torchport.tasks.speech_synthesis import _waveform

    def said(facts):
        return np.concatenate(list(perform(_waveform(latents, facts), lambda graph, feed: speech.run(feed))))

    whole = said(pipeline.facts)
    facts = replace(pipeline.facts, max_frames=2 * reach + 40)
    parts = said(facts)
    assert whole.size == 300 * pipeline.facts.hop == parts.size
    assert np.abs(whole - parts).max() < 1e-6
    assert max(speech.lengths[1:]) == facts.max_frames


def test_a_long_text_is_said_piece_by_piece_as_it_streams(pipeline):
    text = "hello you over there. " * 30
    running, shown = pipeline.stream(text.encode()), []
    while True:
        try:
            shown.append(next(running))
        except StopIteration as done:
            values = done.value
            break
    assert len(shown) == len(values["sizes"]) > 1
    assert json.loads(json.dumps(shown)) == shown
    heard = np.concatenate([np.frombuffer(base64.b64decode(one["pcm"]), "<i2") for one in shown])
    assert heard.size / 16000 == pytest.approx(shown[-1]["seconds"], abs=1e-3)
    pauses = (len(shown) - 1) * round(0.2 * 16000)
    assert values["result"]["samples"] == heard.size + pauses


def test_what_is_saved_is_a_wav_file_of_the_waveform(pipeline):
    values = pipeline.answer(b"hello")
    with wave.open(BytesIO(TASK.save(b"hello", values, pipeline.facts)[".wav"])) as file:
        assert file.getframerate() == 16000
        assert file.getnframes() == values["result"]["samples"] == values["waveform"].size
    result = values["result"]
    assert len(result["levels"]) == -(-result["samples"] // 1600)
    assert TASK.agree(result, result)
    assert not TASK.agree(result, {**result, "samples": 1})
    assert not TASK.agree({**result, "levels": [one + 3 for one in result["levels"]]}, result)
    assert "hello" in TASK.words(result)


@pytest.mark.parametrize(
    ("raw", "said"),
    [
        (b"", "the text is empty"),
        (b" \n\t ", "the text is empty"),
        (b"\xff\xfe\x00", "not UTF-8"),
        (b"a" * 10_000_000, "10000000 bytes is too long"),
        ("ä" * 20_001, "too long"),
        ("Привет, мир", "nothing of 'Привет, мир' is among the model's 31 symbols"),
        ("12345 67", "nothing of"),
    ],
)
def test_a_text_that_cannot_be_said_is_refused(pipeline, raw, said):
    with pytest.raises(BadInput, match=said):
        pipeline.answer(raw if isinstance(raw, bytes) else raw.encode())


def test_symbols_that_the_model_does_not_have_are_named(pipeline):
    assert pipeline.answer(b"Hello, you!")["result"]["unspoken"] == "!,"


def test_nan_is_an_error_of_the_runtime(pipeline):
    values = {"waveform": np.array([np.nan], np.float32), "phonemes": "a", "unspoken": ""}
    with pytest.raises(RunError, match="NaN"):
        TASK.host["present"](values, pipeline.facts)


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({}, "no table of symbols"),
        ({"symbols": "nowhere.json"}, "cannot be read"),
        ({"symbols": {"a": 1}, "phonemiser": "espeak"}, "phonemes of which language"),
        ({"symbols": {"a": 1}, "phonemiser": "uroman"}, "phonemiser is 'uroman'"),
        ({"symbols": {"a": 1}, "blank": 7}, "blank=.7. is not a list of symbol ids"),
        ({"symbols": {"a": 1}, "before": "[x]"}, "before"),
        ({"symbols": {"a": 1}, "noise_scale": "loud"}, "noise_scale is 'loud'"),
        ({"symbols": {"a": 1}, "length_scale": 0}, "more than 0"),
        ({"symbols": {"a": 1}, "chunk": 3}, "chunk is 3"),
    ],
)
def test_impossible_settings_are_refused(settings, said):
    with pytest.raises(UsageError, match=said):
        TASK.resolve(settings, {})


def test_a_table_beyond_the_model_and_a_source_of_another_kind_are_refused(sample):
    with pytest.raises(BadInput, match="goes to 99, the model knows 32"):
        opened(sample.source, {"symbols": {"a": 99, "h": 1}})
    with pytest.raises(BadInput, match="takes a VitsModel, this is Linear"):
        opened(torch.nn.Linear(2, 2), {"symbols": {"a": 1}})


def test_facts_of_a_hugging_face_folder():
    config = {"noise_scale": 0.5, "noise_scale_duration": 0.7, "speaking_rate": 2.0, "sampling_rate": 16000}
    stated = from_speaker(config, {"phonemize": False, "is_uroman": False}, {"a": 0, "b": 1})
    symbols = {
        "symbols": {"a": 0, "b": 1},
        "lowercase": True,
        "blank": 0,
        "before": [0],
        "after": [],
        "phonemiser": "none",
    }
    assert stated == symbols | {
        "noise_scale": 0.5,
        "noise_scale_duration": 0.7,
        "length_scale": 0.5,
        "sample_rate": 16000,
    }
    facts, assumed = TASK.resolve({}, stated)
    assert assumed == ()
    assert phonemes.speak("Ab", replace(facts, max_tokens=99))[0].ids == [0, 0, 0, 1, 0]
    assert from_speaker({}, {}, {})["language"] == "en-us"
    with pytest.raises(UsageError, match="uroman"):
        TASK.resolve({}, from_speaker(config, {"phonemize": False, "is_uroman": True}, {"a": 0}))


def test_a_hugging_face_folder_needs_no_settings(sample, tmp_path):
    from torchport.frontend.source import open_source

    sample.source.save_pretrained(tmp_path)
    (tmp_path / "vocab.json").write_text(
        json.dumps(json.loads((sample.data.parent / "symbols.json").read_text("utf-8")))
    )
    (tmp_path / "tokenizer_config.json").write_text(
        json.dumps({"tokenizer_class": "VitsTokenizer", "phonemize": False, "add_blank": False})
    )
    source = open_source(str(tmp_path))
    facts, assumed = TASK.resolve({"noise_scale": 0, "noise_scale_duration": 0}, source.facts)
    assert assumed == ()
    split = TASK.split(source.model, facts, [Item("a", lambda: b"hello")])
    pipeline = Pipeline(
        Plan(TASK, split.facts, TASK.steps(split.facts, None), {}),
        {name: Eager(graph.module) for name, graph in split.graphs.items()},
    )
    ids = [facts.symbols[symbol] for symbol in "hello"]
    assert pipeline.answer(b"Hello")["ids"].tolist() == ids


def test_ids_are_those_of_transformers_tokenizer(tmp_path):
    from transformers import VitsTokenizer

    (tmp_path / "vocab.json").write_text(json.dumps({symbol: i for i, symbol in enumerate("_ abcdefghilnoruwyß-'")}))
    settings = {"add_blank": True, "normalize": True, "phonemize": False, "is_uroman": False}
    tokenizer = VitsTokenizer(str(tmp_path / "vocab.json"), language="eng", pad_token="_", unk_token="_", **settings)
    facts, _ = TASK.resolve({}, from_speaker({}, settings, json.loads((tmp_path / "vocab.json").read_text())))
    for text in ("Hello, how are you", "a-b 'c'", "Über die Brücke, ruhig"):
        spoken = phonemes.speak(text, replace(facts, max_tokens=999))
        assert spoken[0].ids == tokenizer(text).input_ids


@given(st.text(max_size=400), st.integers(20, 60))
def test_pieces_hold_every_character_and_none_is_too_long(text, size):
    pieces = phonemes.pieces(text, size)
    assert all(0 < len(piece) <= size for piece in pieces)
    plain = "".join("".join(pieces).split())
    assert plain == "".join("".join(" " if one < " " or one == "\x7f" else one for one in text).split())


def test_a_piece_with_too_many_symbols_is_halved():
    facts = TASK.facts(symbols={"a": 1}, blank=1, max_tokens=50)
    assert [len(one.ids) for one in phonemes.speak("a" * 100, facts)] == [50, 50, 50, 50]


def test_a_missing_phonemiser_is_named(monkeypatch):
    monkeypatch.setattr(shutil, "which", lambda name: None)
    with pytest.raises(MissingDependency, match="espeak-ng is not installed; apt-get install espeak-ng"):
        phonemes.espeak("hello", TASK.facts(language="en-us"))


@needs_espeak
def test_phonemes_by_espeak_ng():
    assert phonemes.espeak("Hello.", TASK.facts(language="en-us")) == "h\u0259l\u02c8o\u028a"
    assert phonemes.espeak("-v xx --help", TASK.facts(language="en-us"))  # a text, never options
    assert phonemes.espeak("ni3 hao3", TASK.facts(language="cmn-latn-pinyin")).startswith("n")
    assert phonemes.espeak("你好", TASK.facts(language="yue")).startswith("n")
    with pytest.raises(UsageError, match="voice does not exist"):
        phonemes.espeak("hello", TASK.facts(language="xx"))


def test_a_text_that_is_read_in_another_language_is_refused():
    assert phonemes._in_one_language("halo (en)world(de) das ist alles", "de") == "halo world das ist alles"
    with pytest.raises(BadInput, match="another language than 'cmn'"):
        phonemes._in_one_language("(en)ni three(cmn)", "cmn")


@pytest.mark.parametrize(("kernel", "stride", "padding"), [(16, 8, 4), (8, 4, 2), (4, 4, 0), (7, 3, 2)])
def test_interleaving_is_a_transposed_convolution(kernel, stride, padding):
    torch.manual_seed(0)
    transposed = torch.nn.ConvTranspose1d(5, 3, kernel, stride, padding)
    x = torch.randn(2, 5, 11)
    assert torch.allclose(vits.Interleaved(transposed)(x), transposed(x), atol=1e-6)


def test_levels_in_tenths_of_a_second():
    loud = levels.decibels(np.concatenate([np.ones(100), np.zeros(100), np.full(50, 0.5)]), 1000)
    assert loud == [0.0, levels.FLOOR, pytest.approx(-9.03, abs=0.01)]
    assert levels.alike([-70.0, -3.0], [-100.0, -3.5])
    assert not levels.alike([-70.0, -3.0], [-70.0, -5.0])
    assert not levels.alike([-70.0], [-70.0, -5.0])


@needs_espeak
def test_a_piper_voice_says_what_transformers_says():
    model = piper_joe.factory()
    settings = {"symbols": piper_joe.symbols(), "noise_scale": 0, "noise_scale_duration": 0}
    text = piper_joe.sentences(30)[3]
    values = opened(model, settings, text).answer(text.encode())
    assert values["ids"].tolist() == piper_joe.ids(text)
    assert np.abs(values["waveform"] - piper_joe.eager(model, text)).max() < 1e-3
    assert values["result"]["sample_rate"] == 22050
