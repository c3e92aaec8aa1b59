"""A Hugging Face folder says what it is for: the task comes from its `config.json`, unless the user says otherwise."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from PIL import Image

from torchport import api
from torchport.errors import BadInput, UsageError
from torchport.tasks import task_for

transformers = pytest.importorskip("transformers")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny ResNet for pictures of 32 x 32, three classes with names."""
    place = tmp_path_factory.mktemp("hugging") / "tiny-resnet"
    names = {0: "red", 1: "green", 2: "blue"}
    config = transformers.ResNetConfig(
        embedding_size=8,
        hidden_sizes=[8, 8],
        depths=[1, 1],
        layer_type="basic",
        id2label=names,
        label2id={name: i for i, name in names.items()},
    )
    transformers.ResNetForImageClassification(config).save_pretrained(place)
    prepared = {
        "do_resize": True,
        "size": {"shortest_edge": 32},
        "do_center_crop": True,
        "crop_size": {"height": 32, "width": 32},
        "image_mean": [0.5] * 3,
        "image_std": [0.5] * 3,
    }
    (place / "preprocessor_config.json").write_text(json.dumps(prepared))
    return place


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("photos")
    for name in ("red", "blue"):
        Image.new("RGB", (40, 50), name).save(place / f"photo_{name}.png")
    return place


@pytest.mark.parametrize("prefix", ["hf:", ""])
def test_the_task_comes_from_the_architecture(folder, photos, prefix):
    assembled = api.capture(f"{prefix}{folder}", data=photos)
    assert assembled.task.name == "image-classification"
    assert (assembled.facts.labels, assembled.facts.crop, assembled.facts.mean) == (
        ("red", "green", "blue"),
        32,
        (0.5,) * 3,
    )
    assert [item.label for item in assembled.items] == [2, 0]


def test_the_users_word_counts_and_made_up_tensors_are_for_any_module(folder, photos):
    assert api.capture(f"hf:{folder}", inputs=["pixel_values:float32[batch,3,32,32]"]).task.name == "tensor"
    with pytest.raises(UsageError, match="needs data"):
        api.capture(f"hf:{folder}", task="image-classification", inputs=["pixel_values:float32[batch,3,32,32]"])


def test_what_is_no_folder_of_hugging_faces(tmp_path):
    with pytest.raises(BadInput, match="no Hugging Face model"):
        api.capture(f"hf:{tmp_path}")
    with pytest.raises(BadInput, match="nowhere"):
        api.capture("hf:nowhere")


@pytest.mark.parametrize(
    ("architecture", "task"),
    [
        ("", "tensor"),
        ("SomethingNobodyKnows", "tensor"),
        ("ViTForImageClassification", "image-classification"),
        ("DetrForObjectDetection", "object-detection"),
        ("BertForSequenceClassification", "text-classification"),
        ("BertModel", "embedding"),
        ("MarianMTModel", "translation"),
        ("T5ForConditionalGeneration", "translation"),
        ("WhisperForConditionalGeneration", "speech-recognition"),
        ("Wav2Vec2ForCTC", "speech-recognition"),
        ("VitsModel", "speech-synthesis"),
        ("GPT2LMHeadModel", "text-generation"),
        ("LlamaForCausalLM", "text-generation"),
    ],
)
def test_who_takes_which_architecture(architecture, task):
    assert task_for(architecture) == task
