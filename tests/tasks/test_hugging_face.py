"""`deploy hf:DIR` from a folder to an answer, a tiny seeded model a family: classifiers, pictures and speech; the task
is picked, the answer is that of transformers.
"""

from __future__ import annotations

import json
import re
from typing import Any

import numpy as np
import pytest
import torch
from hugging import SIZES, TEXTS, deployed, folder_of, ids_of, texts
from PIL import Image

from torchport.tasks.shared.audio import encode_wav
from torchport.testing.samples import _words, speech_recognition

transformers = pytest.importorskip("transformers")

pytestmark = pytest.mark.filterwarnings("ignore:::transformers")
LABELS = {
    "id2label": dict(enumerate(_words.TOPICS)),
    "label2id": {topic: number for number, topic in enumerate(_words.TOPICS)},
}
BERT = {
    **SIZES,
    **LABELS,
    "hidden_size": 16,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "intermediate_size": 32,
    "initializer_range": 0.5,
}


def bert() -> Any:
    return transformers.BertForSequenceClassification(transformers.BertConfig(**BERT))


def distilbert() -> Any:
    return transformers.DistilBertForSequenceClassification(
        transformers.DistilBertConfig(
            **SIZES, **LABELS, dim=16, n_layers=2, n_heads=2, hidden_dim=32, initializer_range=0.5
        )
    )


def roberta() -> Any:
    return transformers.RobertaForSequenceClassification(
        transformers.RobertaConfig(**BERT, max_position_embeddings=80, type_vocab_size=1)
    )


@pytest.mark.parametrize("make", [bert, distilbert, roberta])
def test_classifiers(make, tmp_path):
    place = tmp_path / "tiny"
    model = folder_of(make, place)
    with deployed(place, texts(place), "text-classification", max_length=32) as predictor, torch.no_grad():
        for text in TEXTS:
            got = {one["label"]: one["score"] for one in predictor.predict(text.encode())["labels"]}
            np.testing.assert_allclose(
                [got[topic] for topic in _words.TOPICS], model(ids_of(place, text)).logits.softmax(1)[0], atol=1e-5
            )


@pytest.mark.long  # the pipelines of `test_hugging_face_heads` have the same network
def test_pictures(tmp_path):
    place = tmp_path / "tiny"
    sizes = {
        "hidden_size": 16,
        "num_hidden_layers": 1,
        "num_attention_heads": 2,
        "intermediate_size": 32,
        "image_size": 32,
        "patch_size": 8,
    }
    model = folder_of(
        lambda: transformers.ViTForImageClassification(
            transformers.ViTConfig(**sizes, **LABELS, initializer_range=0.2)
        ),
        place,
    )
    prepared = {
        "do_resize": True,
        "size": {"height": 32, "width": 32},
        "do_rescale": True,
        "rescale_factor": 1 / 255,
        "do_normalize": True,
        "image_mean": [0.5] * 3,
        "image_std": [0.5] * 3,
    }
    (place / "preprocessor_config.json").write_text(json.dumps(prepared))
    (tmp_path / "photos").mkdir()
    pixels = np.random.default_rng(0).integers(0, 255, (32, 32, 3), np.uint8)
    Image.fromarray(pixels).save(tmp_path / "photos" / "noise.png")
    with deployed(place, tmp_path / "photos", "image-classification") as predictor, torch.no_grad():
        got = {one["label"]: one["score"] for one in predictor.predict(tmp_path / "photos" / "noise.png")["labels"]}
        wanted = model(torch.from_numpy(pixels).permute(2, 0, 1)[None] / 127.5 - 1).logits.softmax(1)[0]
    np.testing.assert_allclose([got[topic] for topic in _words.TOPICS], wanted, atol=1e-4)


@pytest.mark.long  # a page of `examples` has the real one, from a folder too
def test_whisper(tmp_path):
    place = tmp_path / "tiny"
    folder_of(speech_recognition.whisper, place)
    speech_recognition.tokenizer_file(place / "tokenizer.json")
    transformers.WhisperFeatureExtractor(feature_size=8, chunk_length=1).save_pretrained(place)
    recordings = speech_recognition.recordings(tmp_path / "recordings")
    with deployed(place, recordings, "speech-recognition") as predictor:
        text = predictor.predict(recordings / "short.wav")["text"]
    assert re.fullmatch(f"(({'|'.join(speech_recognition.WORDS)})\\s*)+", text)


def test_wav2vec2(tmp_path):
    place = tmp_path / "tiny"
    sizes = {
        "hidden_size": 16,
        "num_hidden_layers": 1,
        "num_attention_heads": 2,
        "intermediate_size": 32,
        "num_conv_pos_embeddings": 4,
        "num_conv_pos_embedding_groups": 2,
    }
    # 50 frames a second, as in the real one: attention over the longest recording is most of the work
    listening = {"conv_dim": (8, 8), "conv_stride": (20, 16), "conv_kernel": (20, 16), "num_feat_extract_layers": 2}
    model = folder_of(
        lambda: transformers.Wav2Vec2ForCTC(
            transformers.Wav2Vec2Config(vocab_size=5, pad_token_id=0, initializer_range=1.0, **sizes, **listening)
        ),
        place,
    )
    (place / "vocab.json").write_text(json.dumps({"<pad>": 0, "|": 1, "a": 2, "b": 3, "c": 4}))
    (place / "preprocessor_config.json").write_text(
        json.dumps({"sampling_rate": 16000, "do_normalize": True, "feature_size": 1})
    )
    recordings = speech_recognition.recordings(tmp_path / "recordings")
    with deployed(place, recordings, "speech-recognition", silence=-200) as predictor:
        samples = speech_recognition.tones(0.8)
        said = predictor.predict(encode_wav(samples, speech_recognition.RATE))["text"]
    with torch.no_grad():
        best = torch.unique_consecutive(
            model(torch.from_numpy((samples - samples.mean()) / np.sqrt(samples.var() + 1e-7))[None]).logits.argmax(-1)[
                0
            ]
        ).tolist()
    assert said.split() == "".join(" abc"[token - 1] for token in best if token).split()
