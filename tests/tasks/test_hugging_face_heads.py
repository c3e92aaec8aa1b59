"""Classifiers of transformers, as a tiny seeded model a kind of configuration: scores are those of transformers' own
pipeline.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hugging import SIZES
from PIL import Image

from torchport import api
from torchport.errors import TorchportError, UsageError
from torchport.targets.eager import ModuleRunner
from torchport.tasks.pipeline import Pipeline, Plan
from torchport.testing.samples import _words

transformers = pytest.importorskip("transformers")
pytestmark = pytest.mark.filterwarnings("ignore")

BERT = {
    **SIZES,
    "hidden_size": 16,
    "num_hidden_layers": 1,
    "num_attention_heads": 2,
    "intermediate_size": 32,
    "initializer_range": 0.5,
}
LONG = "goal team match and a guitar " * 40
TEXTS = ("goal team match and a guitar", "A New SONG", LONG)


def bert(**config: Any) -> Any:
    return transformers.BertForSequenceClassification(
        transformers.BertConfig(**{**BERT, "max_position_embeddings": 40, **config})
    )


def roberta(**config: Any) -> Any:
    sizes = {**BERT, "max_position_embeddings": 42, "type_vocab_size": 1, "pad_token_id": 1}
    return transformers.RobertaForSequenceClassification(transformers.RobertaConfig(**{**sizes, **config}))


def gpt2(**config: Any) -> Any:
    sizes = {
        "vocab_size": SIZES["vocab_size"],
        "n_embd": 16,
        "n_layer": 1,
        "n_head": 2,
        "n_positions": 40,
        "initializer_range": 0.5,
        "bos_token_id": 2,
        "eos_token_id": 3,
    }
    return transformers.GPT2ForSequenceClassification(transformers.GPT2Config(**{**sizes, **config}))


def folder(place: Path, make: Any, tokenizer: dict[str, Any], **config: Any) -> Path:
    """A folder as save_pretrained writes it, with what the tokenizer's configuration says."""
    torch.manual_seed(0)
    place.mkdir()
    make(**config).eval().save_pretrained(place)
    _words.tokenizer(place)
    stated = {
        "tokenizer_class": "PreTrainedTokenizerFast",
        "pad_token": "[PAD]",
        "unk_token": "[UNK]",
        "cls_token": "[CLS]",
        "sep_token": "[SEP]",
        "model_max_length": 32,
        **tokenizer,
    }
    (place / "tokenizer_config.json").write_text(
        json.dumps({name: value for name, value in stated.items() if value is not None})
    )
    return place


def texts_in(place: Path) -> Path:
    path = place / "texts.jsonl"
    path.write_text("".join(json.dumps({"text": text}) + "\n" for text in TEXTS))
    return path


def answers(source: Path, data: Path, raws: list[bytes], **settings: Any) -> tuple[Any, list[dict[int, float]]]:
    """Index -> score, of the captured model behind the chain of its task."""
    made = api.capture(f"hf:{source}", data=data, settings={"top": 50, **settings})
    pipeline = Pipeline(
        Plan(made.task, made.facts, made.steps, made.graphs),
        {name: ModuleRunner(graph) for name, graph in made.program.graphs.items()},
    )
    return made, [{one["index"]: one["score"] for one in pipeline.answer(raw)["result"]["labels"]} for raw in raws]


KINDS = {
    "single label": (bert, {}, {"num_labels": 4}),
    "multi-label": (bert, {}, {"num_labels": 4, "problem_type": "multi_label_classification"}),
    "regression": (bert, {}, {"num_labels": 1, "problem_type": "regression"}),
    "regression of several": (bert, {}, {"num_labels": 3, "problem_type": "regression"}),
    "one label": (bert, {}, {"num_labels": 1}),
    "named labels": (bert, {}, {"id2label": {0: "x", 1: "y"}, "label2id": {"x": 0, "y": 1}}),
    "cut off on the left": (bert, {"truncation_side": "left"}, {"num_labels": 3}),
    "lower case is the tokenizer's own": (
        bert,
        {"tokenizer_class": "BertTokenizer", "do_lower_case": False},
        {"num_labels": 3},
    ),
    "longer tokenizer than positions": (bert, {"model_max_length": 4096}, {"num_labels": 3}),
    "positions behind the padding": (roberta, {"pad_token": "[UNK]", "model_max_length": None}, {"num_labels": 3}),
    "no padding token": (gpt2, {"pad_token": None}, {"num_labels": 3}),
    "padding token of the model": (gpt2, {"pad_token": "[PAD]"}, {"num_labels": 3, "pad_token_id": 0}),
    "special tokens by configuration": (
        bert,
        {"tokenizer_class": "BertTokenizer", "cls_token": "[UNK]"},
        {"num_labels": 3},
    ),
}


SHORT = (
    "single label",
    "regression of several",
    "named labels",
    "lower case is the tokenizer's own",
    "positions behind the padding",
    "padding token of the model",
    "plain",
    "multi-label",
    "another factor",
    "shortest edge and crop",
)
"""The kinds whose reading differs most; the others are long."""


def kinds(names: Iterable[str]) -> list[Any]:
    return [pytest.param(name, marks=() if name in SHORT else pytest.mark.long) for name in names]


@pytest.mark.parametrize("kind", kinds(KINDS))
def test_scores_of_texts_are_those_of_the_pipeline(kind, tmp_path):
    make, tokenizer, config = KINDS[kind]
    place = folder(tmp_path / "tiny", make, tokenizer, **config)
    made, got = answers(place, texts_in(tmp_path), [text.encode() for text in TEXTS])
    pipeline = transformers.pipeline("text-classification", model=str(place), top_k=None, device="cpu")
    most = made.facts.max_length
    assert most == min(40, tokenizer.get("model_max_length", 32) or 40)
    for text, scores in zip(TEXTS, got, strict=True):
        wanted = {
            pipeline.model.config.label2id[one["label"]]: one["score"]
            for one in pipeline(text, top_k=None, truncation=True, max_length=most)
        }
        assert scores == pytest.approx(wanted, abs=1e-4)
    assert made.warnings == ()


PICTURES = {
    "plain": (
        {"size": {"height": 32, "width": 32}, "image_mean": [0.5] * 3, "image_std": [0.5] * 3},
        {"num_labels": 3},
    ),
    "multi-label": (
        {"size": {"height": 32, "width": 32}},
        {"num_labels": 3, "problem_type": "multi_label_classification"},
    ),
    "one label": ({"size": {"height": 32, "width": 32}}, {"num_labels": 1}),
    "not rescaled": (
        {"size": {"height": 32, "width": 32}, "do_rescale": False, "image_mean": [127.0] * 3, "image_std": [60.0] * 3},
        {"num_labels": 3},
    ),
    "another factor": (
        {
            "size": {"height": 32, "width": 32},
            "rescale_factor": 1 / 127.5,
            "image_mean": [1.0] * 3,
            "image_std": [1.0] * 3,
        },
        {"num_labels": 3},
    ),
    "not normalised": ({"size": {"height": 32, "width": 32}, "do_normalize": False}, {"num_labels": 3}),
    "bicubic": ({"size": {"height": 32, "width": 32}, "resample": 3}, {"num_labels": 3}),
    "shortest edge and crop": (
        {
            "image_processor_type": "CLIPImageProcessor",
            "size": {"shortest_edge": 36},
            "crop_size": {"height": 32, "width": 32},
            "do_center_crop": True,
        },
        {"num_labels": 3},
    ),
    "crop_pct": (
        {"image_processor_type": "ConvNextImageProcessor", "size": {"shortest_edge": 32}, "crop_pct": 0.8},
        {"num_labels": 3},
    ),
    "channels flipped": (
        {
            "image_processor_type": "MobileViTImageProcessor",
            "size": {"shortest_edge": 36},
            "crop_size": {"height": 32, "width": 32},
            "do_flip_channel_order": True,
        },
        {"num_labels": 3},
    ),
}


@pytest.mark.parametrize("kind", kinds(PICTURES))
def test_scores_of_pictures_are_those_of_the_pipeline(kind, tmp_path):
    prepared, config = PICTURES[kind]
    sizes = {
        "hidden_size": 16,
        "num_hidden_layers": 1,
        "num_attention_heads": 2,
        "intermediate_size": 32,
        "image_size": 32,
        "patch_size": 8,
        "initializer_range": 0.2,
    }
    torch.manual_seed(0)
    place = tmp_path / "tiny"
    transformers.ViTForImageClassification(transformers.ViTConfig(**sizes, **config)).eval().save_pretrained(place)
    (place / "preprocessor_config.json").write_text(
        json.dumps({"image_processor_type": "ViTImageProcessor", **prepared})
    )
    photos = tmp_path / "photos"
    photos.mkdir()
    Image.fromarray(np.random.default_rng(0).integers(0, 255, (48, 64, 3), np.uint8)).resize((64, 48)).save(
        photos / "a.png"
    )
    made, [scores] = answers(place, photos, [(photos / "a.png").read_bytes()])
    pipeline = transformers.pipeline("image-classification", model=str(place), device="cpu", top_k=50)
    wanted = {pipeline.model.config.label2id[one["label"]]: one["score"] for one in pipeline(str(photos / "a.png"))}
    assert scores == pytest.approx(wanted, abs=2e-3 if "resize" in kind else 1e-3)
    assert made.warnings == ()


def test_what_is_prepared_otherwise_than_by_transformers_is_named(tmp_path):
    sizes = {
        "hidden_size": 16,
        "num_hidden_layers": 1,
        "num_attention_heads": 2,
        "intermediate_size": 32,
        "image_size": 32,
        "patch_size": 8,
    }
    place, photos = tmp_path / "tiny", tmp_path / "photos"
    transformers.ViTForImageClassification(transformers.ViTConfig(**sizes)).eval().save_pretrained(place)
    photos.mkdir()
    Image.fromarray(np.random.default_rng(0).integers(0, 255, (90, 120, 3), np.uint8)).save(photos / "a.png")
    (place / "preprocessor_config.json").write_text(
        json.dumps({"image_processor_type": "ViTImageProcessor", "size": {"height": 32, "width": 32}, "resample": 0})
    )
    [said] = api.capture(f"hf:{place}", data=photos).warnings
    assert "ViTImageProcessor" in said
    assert "levels" in said


@pytest.mark.parametrize(
    ("head", "task", "said"),
    [
        ("TokenClassification", "text-classification", "a class for each token"),
        ("TokenClassification", None, "no task for"),
        ("SequenceClassification", "embedding", "classes of a text"),
        ("MaskedLM", "embedding", "no task for it"),
    ],
)
def test_a_head_that_no_task_reads_is_refused(head, task, said, tmp_path):
    kind = getattr(transformers, f"BertFor{head}")
    place = folder(
        tmp_path / "tiny",
        lambda: kind(transformers.BertConfig(**BERT, id2label={0: "O", 1: "B"}, label2id={"O": 0, "B": 1})),
        {},
    )
    with pytest.raises(TorchportError, match=said):
        api.capture(f"hf:{place}", task=task, data=texts_in(tmp_path))


def test_softmax_of_one_output_is_refused(tmp_path):
    place = folder(tmp_path / "tiny", bert, {}, num_labels=1)
    with pytest.raises(UsageError, match=r"every answer would be 1\.0"):
        api.capture(f"hf:{place}", data=texts_in(tmp_path), settings={"activation": "softmax"})
