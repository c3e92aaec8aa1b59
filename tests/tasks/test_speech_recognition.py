"""Speech recognition: the front end against transformers, the rules of decoding, windows, sessions, and what is said of
bad input.
"""

from __future__ import annotations

import io
import tracemalloc

import numpy as np
import pytest
import soundfile
import torch
from msgspec.structs import replace

from torchport.errors import BadInput, RunError, UsageError
from torchport.tasks import Pipeline, Plan, tasks
from torchport.tasks.calls import exhaust
from torchport.tasks.graphs.logmel import LogMel
from torchport.tasks.shared import audio, ctc, whisper
from torchport.tasks.shared.listening import Heard, Listener, Segment
from torchport.testing.samples import speech_recognition as tiny
from torchport.types import Signature

TASK = tasks.get("speech-recognition")
NOTHING = Signature(inputs=(), outputs=())


class OfModule:
    """A runner that calls a torch module."""

    def __init__(self, module):
        self.module, self.calls = module, 0

    def run(self, feed):
        self.calls += 1
        with torch.no_grad():
            return {name: value.numpy() for name, value in self.module(*map(torch.from_numpy, feed.values())).items()}


def opened(model, folder, **settings) -> Pipeline:
    """The chain of a model over a recording, with its graphs run by PyTorch."""
    facts, _ = TASK.resolve(settings, {})
    items = TASK.items(tiny.recordings(folder / "recordings"), facts)
    split = TASK.split(model, facts, items)
    graphs = {**split.graphs, **TASK.graphs(split.facts, NOTHING, items)}
    return Pipeline(
        Plan(TASK, split.facts, TASK.steps(split.facts, NOTHING), {}),
        {name: OfModule(graph.module) for name, graph in graphs.items()},
    )


@pytest.fixture
def heard(tmp_path):
    return opened(tiny.whisper(), tmp_path, tokenizer=str(tiny.tokenizer_file(tmp_path / "tokenizer.json")))


@pytest.fixture
def letters(tmp_path):
    return opened(tiny.TinyCtc().eval(), tmp_path, vocabulary=["<pad>", "|", "a", "b", "c"], window=1)


def wav(samples, rate=tiny.RATE, **how) -> bytes:
    out = io.BytesIO()
    soundfile.write(out, samples, rate, format="WAV", **how)
    return out.getvalue()


@pytest.mark.parametrize("seconds", [0.3, 7.0, 30.0])
def test_the_front_end_is_that_of_transformers(seconds):
    from transformers import WhisperFeatureExtractor

    samples = tiny.tones(seconds)
    window = np.zeros((1, 480_000), np.float32)
    window[0, : len(samples)] = samples
    ours = LogMel(TASK.facts())(torch.from_numpy(window))["features"].numpy()
    theirs = WhisperFeatureExtractor()(samples, sampling_rate=16000, return_tensors="np").input_features
    assert ours.shape == theirs.shape
    assert np.abs(ours - theirs).max() < 1e-4


def plain(model, samples, rules) -> list[int]:
    """What transformers' own model says greedily, without a cache."""
    from transformers import WhisperFeatureExtractor

    features = WhisperFeatureExtractor(feature_size=8, chunk_length=1)(
        samples, sampling_rate=16000, return_tensors="pt"
    ).input_features
    said, start = [], [model.config.decoder_start_token_id, rules.no_timestamps_token_id]
    with torch.no_grad():
        while len(said) < 12:
            logits = model(features, decoder_input_ids=torch.tensor([start + said])).logits[
                0, -1, : rules.no_timestamps_token_id + 1
            ]
            logits[
                [
                    *rules.suppress_tokens,
                    rules.no_timestamps_token_id,
                    *(rules.begin_suppress_tokens if not said else []),
                ]
            ] = -torch.inf
            token = int(logits.argmax())
            if token == model.config.eos_token_id:
                break
            said.append(token)
    return said


@pytest.mark.parametrize("seed", range(3))
def test_the_graphs_say_what_transformers_says(heard, seed):
    model, samples = tiny.whisper(), tiny.tones(0.9, seed)
    result = heard.answer(audio.encode_wav(samples, tiny.RATE))["result"]
    levels = audio.decode(audio.encode_wav(samples, tiny.RATE), tiny.RATE)
    assert result["text"] == whisper.text_of(plain(model, levels, model.generation_config), heard.facts)
    assert result["seconds"] == 0.9
    assert result["segments"][0]["text"] == result["text"]


def test_partial_text_grows_into_the_answer(heard):
    running = heard.stream(audio.encode_wav(tiny.tones(0.9), tiny.RATE))
    parts = []
    while True:
        try:
            parts.append(next(running)["text"])
        except StopIteration as done:
            result = done.value["result"]
            break
    assert parts[-1] == result["text"]
    assert all(result["text"].startswith(part) for part in parts)


def test_a_session_ends_with_what_was_said(heard):
    session = TASK.session(heard)
    samples = tiny.tones(2.5)
    shown = [session.push(chunk) for chunk in np.split(samples, 10)]
    assert shown[-1]["text"]
    assert all(one["text"].startswith(one["final"]) for one in shown)
    done = session.finish()
    assert done == session.finish()
    assert done["seconds"] == 2.5
    assert done["text"].startswith(shown[-1]["final"])
    with pytest.raises(UsageError, match="finished"):
        session.push(samples)


@pytest.mark.parametrize(
    "chunk", [np.zeros((2, 10), np.float32), np.zeros(10, np.int16), np.array([0.0, np.nan]), "speech"]
)
def test_a_session_takes_float_samples_only(heard, chunk):
    with pytest.raises(BadInput, match="mono, 16000 Hz"):
        TASK.session(heard).push(chunk)


def test_a_pause_settles_what_was_said():
    said = []

    def hear(samples, more):
        said.append(len(samples))
        yield " word"
        return Heard([Segment(0.0, 1.0, " word")])

    listener = Listener(hear, 16000, 480_000, -60)
    list(listener.take(np.concatenate([tiny.tones(1.0), np.zeros(16000, np.float32)])))
    assert listener.paused(0.8)
    assert exhaust(listener.glance()) == " word"
    assert listener.text == ""
    list(listener.flush())
    assert listener.text == " word"
    assert not listener.paused(0.8)


def test_silence_is_not_given_to_the_model(heard, letters):
    for chain in (heard, letters):
        for samples in (np.zeros(5 * tiny.RATE, np.float32), 1e-5 * tiny.tones(2.0)):
            assert chain.answer(wav(samples, subtype="FLOAT"))["result"]["text"] == ""
        assert sum(runner.calls for runner in chain.runners.values()) == 0


def test_clipped_and_many_channelled_recordings_are_heard(heard):
    assert heard.answer(wav(np.clip(50 * tiny.tones(0.8), -1, 1)))["result"]["text"]
    many = np.repeat(np.repeat(tiny.tones(0.5)[:, None], 8, axis=1), 12, axis=0)
    assert heard.answer(wav(many, 192_000))["result"]["seconds"] == 0.5


@pytest.mark.parametrize("raw", [b"", b"not a recording\n" * 100, wav(tiny.tones(0.5))[:44]])
def test_what_is_no_recording_is_refused(heard, raw):
    with pytest.raises(BadInput):
        heard.answer(raw)


def test_an_hour_is_heard_in_bounded_memory():
    """A model that hears nothing, over an hour at 8 kHz: the samples alone would be 230 MB."""
    windows = []

    def hear(samples, more):
        windows.append(len(samples))
        yield ""
        return Heard()

    hour = wav((0.2 * np.sin(np.arange(3600 * 8000) * 0.3)).astype(np.float32), 8000, subtype="PCM_U8")
    listener = Listener(hear, 16000, 480_000, -60)
    tracemalloc.start()
    for piece in audio.blocks(hour, 16000):
        list(listener.take(piece))
    list(listener.flush())
    most = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert listener.seconds == pytest.approx(3600, abs=0.01)
    assert sum(windows) == pytest.approx(3600 * 16000, abs=160)
    assert max(windows) <= 480_000
    assert most < 40e6


def test_a_long_recording_is_cut_in_pauses():
    pieces = [part for _ in range(4) for part in (tiny.tones(0.75), np.zeros(4000, np.float32))]
    cuts = []

    def hear(samples, more):
        cuts.append(len(samples))
        yield ""
        return Heard([Segment(0.0, len(samples) / 16000, " a")])

    listener = Listener(hear, 16000, 24_000, -60)
    list(listener.take(np.concatenate(pieces)))
    list(listener.flush())
    assert listener.text == " a" * len(cuts)
    assert all(0.75 <= sum(cuts[: i + 1]) / 16000 % 1 <= 1 for i in range(len(cuts) - 1))
    assert listener.segments[-1].end == pytest.approx(4.0)


STAMPED = TASK.facts(stamps=20, end=9, first_stamp=5)


def out(token=1, score=0.0, end=-5.0, times=None):
    stamps = np.full((1, 11), -9.0, np.float32)
    for at, value in (times or {}).items():
        stamps[0, at] = value
    return {"token": np.array([token]), "score": np.array([score]), "end": np.array([end]), "times": stamps}


@pytest.mark.parametrize(
    ("said", "answer", "token"),
    [
        ([], out(times={3: 1, 9: 5}), 23),  # a stamp first, and an early one
        ([20], out(times={4: 9}), 1),  # then a word, whatever the stamps say
        ([20, 1], out(times={4: -1}), 1),  # words as long as they are likelier than all stamps together
        ([20, 1], out(times={4: -0.5, 5: -0.5}), 24),
        ([22, 1], out(times={1: 9, 6: 1}), 26),  # time does not go back
        ([20, 1, 24], out(times={4: 1}), 24),  # after the end of a sentence the start of the next, at once
        ([20, 1, 24], out(times={1: 9, 6: 1}), 26),
        ([20, 1, 24], out(end=3.0), 9),  # or the end
        ([20, 1, 24, 24], out(token=2, times={6: 9}), 2),
        ([20, 1, 30], out(times={10: -30.0}), 9),
    ],
)
def test_time_stamps_follow_their_rules(said, answer, token):
    assert whisper.choose(answer, said, STAMPED) == token


def test_the_rules_of_time_stamps_are_those_of_transformers():
    from transformers import GenerationConfig
    from transformers.generation.logits_process import WhisperTimeStampLogitsProcessor

    config = GenerationConfig(eos_token_id=9, no_timestamps_token_id=19, max_initial_timestamp_index=5)
    theirs = WhisperTimeStampLogitsProcessor(config, begin_index=1)
    random = np.random.default_rng(0)
    for _ in range(200):
        said: list[int] = []
        for _ in range(12):
            logits = random.normal(size=(1, 31)).astype(np.float32) * 3
            logits[0, 10:20] = -1e4  # other marks are suppressed
            ruled = theirs(torch.tensor([[10, *said]]), torch.from_numpy(logits.copy()))
            words = logits[:, :20]
            ours = whisper.choose(
                {"token": words.argmax(1), "score": words.max(1), "end": logits[:, 9], "times": logits[:, 20:]},
                said,
                STAMPED,
            )
            assert ours == int(ruled.argmax()), said
            if ours == 9:
                break
            said.append(ours)


def test_segments_carry_the_times_that_were_spoken(heard):
    facts = replace(heard.facts, stamps=11, hop=160)
    done = whisper.stamped([11, 0, 1, 21, 21, 2, 31], 16000, facts, more=False)
    assert [(one.start, one.end, one.text) for one in done.segments] == [(0.0, 0.2, "one two"), (0.2, 0.4, "three")]
    unfinished = whisper.stamped([11, 0, 1, 21, 21, 2], 16000, facts, more=True)
    assert ([one.text for one in unfinished.segments], unfinished.used) == (["one two"], 3200)
    assert whisper.stamped([11, 2], 16000, facts, more=True).segments == [Segment(0.0, 1.0, "three")]


def test_time_stamps_make_segments_of_a_whole_recording(tmp_path):
    chain = opened(
        tiny.whisper(), tmp_path, tokenizer=str(tiny.tokenizer_file(tmp_path / "tokenizer.json")), timestamps="true"
    )
    result = chain.answer(audio.encode_wav(tiny.tones(2.2), tiny.RATE))["result"]
    times = [time for one in result["segments"] for time in (one["start"], one["end"])]
    assert times == sorted(times)
    assert times[-1] <= 2.2


def test_repeats_are_one_and_blanks_none():
    assert ctc.collapse([0, 2, 2, 0, 2, 3, 3, 0], 0) == [(2, 1, 3), (2, 4, 5), (3, 5, 7)]
    facts = TASK.facts(vocabulary=("<pad>", "|", "a", "b", "<unk>"))
    runs = [(2, 0, 1), (3, 1, 2), (1, 2, 3), (4, 3, 4), (3, 5, 6)]
    assert ctc.words(runs, facts, 0.5) == [Segment(0.0, 1.0, " ab"), Segment(2.5, 3.0, " b")]
    pieces = TASK.facts(vocabulary=("<pad>", "▁he", "llo", "▁you"))
    assert [one.text for one in ctc.words([(1, 0, 1), (2, 1, 2), (3, 4, 5)], pieces, 1.0)] == [" hello", " you"]


def test_the_other_kind_is_heard_window_by_window(letters):
    samples = tiny.tones(2.4)
    result = letters.answer(wav(samples, subtype="FLOAT"))["result"]
    assert set(result["text"]) <= set("abc ")
    assert letters.runners["model"].calls > 2
    assert result["text"] == " ".join(one["text"] for one in result["segments"])


def test_a_wav2vec2_is_taken_as_it_is(tmp_path):
    from transformers import Wav2Vec2Config, Wav2Vec2ForCTC

    torch.manual_seed(0)
    sizes = {
        "hidden_size": 16,
        "num_hidden_layers": 1,
        "num_attention_heads": 2,
        "intermediate_size": 16,
        "conv_dim": (8, 8),
        "conv_stride": (5, 64),
        "conv_kernel": (10, 64),
    }
    model = Wav2Vec2ForCTC(
        Wav2Vec2Config(
            vocab_size=5, num_conv_pos_embeddings=4, num_conv_pos_embedding_groups=2, num_feat_extract_layers=2, **sizes
        )
    ).eval()
    chain = opened(model, tmp_path, vocabulary=["<pad>", "|", "a", "b", "c"])
    samples = tiny.tones(0.9)
    with torch.no_grad():
        path = (
            model(torch.from_numpy((samples - samples.mean()) / np.sqrt(samples.var() + 1e-7))[None])
            .logits[0]
            .argmax(-1)
            .tolist()
        )
    expected = "".join(one.text for one in ctc.words(ctc.collapse(path, 0), chain.facts, 1.0)).strip()
    assert chain.answer(wav(samples, subtype="FLOAT"))["result"]["text"] == expected


def test_subtitles(heard):
    result = {"segments": [{"start": 0.0, "end": 1.5, "text": "one"}, {"start": 3661.25, "end": 3662.0, "text": "two"}]}
    text = TASK.save(b"", {"result": result}, heard.facts)[".srt"].decode()
    assert text == "1\n00:00:00,000 --> 00:00:01,500\none\n\n2\n01:01:01,250 --> 01:01:02,000\ntwo\n"
    assert TASK.lines(result)[0].split() == ["0.00", "1.50", "one"]
    assert TASK.lines({"segments": []}) == ["(silence)"]


def test_what_a_model_lacks_is_asked_for(tmp_path):
    with pytest.raises(UsageError, match="needs its tokenizer"):
        opened(tiny.whisper(), tmp_path)
    with pytest.raises(UsageError, match="no vocabulary"):
        opened(tiny.TinyCtc(), tmp_path)


def test_a_model_that_answers_nan_is_an_error(heard):
    chain = heard

    class Broken:
        def run(self, feed):
            return {"token": np.zeros(1, np.int64), "score": np.array([np.nan], np.float32)}

    broken = Pipeline(chain.plan, {**chain.runners, "step": Broken()})
    with pytest.raises(RunError, match="NaN"):
        broken.answer(audio.encode_wav(tiny.tones(0.5), tiny.RATE))


def test_a_trained_whisper_says_what_eager_says(tmp_path):
    whisper_tiny_en = pytest.importorskip("whisper_tiny_en")
    try:
        clips = [whisper_tiny_en.clips()[i] for i in (4, 5)]
        model = whisper_tiny_en.factory()
    except (FileNotFoundError, ModuleNotFoundError) as exc:
        pytest.skip(str(exc))
    chain = opened(model, tmp_path, tokenizer=str(whisper_tiny_en.folder() / "tokenizer.json"))
    for path, said in clips:
        result = chain.answer(path.read_bytes())["result"]
        expected = whisper_tiny_en.eager(model, soundfile.read(path, dtype="float32")[0])
        assert result["text"] == whisper.text_of(expected, chain.facts).strip()
        assert TASK.score(result, said) == 1.0
