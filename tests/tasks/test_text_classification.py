"""A text's way to labelled scores: classifiers, classes by their descriptions only, many texts at once, and what is
said where something does not fit.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from msgspec.structs import replace

import torchport
from torchport.errors import BadInput, RunError, UsageError
from torchport.predict import Predictor
from torchport.tasks import tasks
from torchport.testing.samples import _words, sample_of

TASK = tasks.get("text-classification")


@pytest.fixture
def words(tmp_path):
    return str(_words.tokenizer(tmp_path))


@pytest.fixture(scope="module")
def bundles(tmp_path_factory):
    """Bundles of the sample: with its head, and with the encoder alone and three described classes."""
    folder = tmp_path_factory.mktemp("text")
    sample = sample_of("text-classification", folder)
    for name, source in (("head", sample.source), ("described", _words.Encoder())):
        torchport.deploy(
            source,
            folder / f"{name}.tport",
            task=sample.task,
            data=sample.data,
            settings=sample.settings,
            targets=["onnx", "openvino"],
            recipes=["fp32"],
            keep="all",
        )
    return folder


def split(source, words, texts=("goal", "a new song"), **settings):
    facts = TASK.resolve({"tokenizer": words, **settings}, {})[0]
    items = [type("Item", (), {"name": text, "read": text.encode, "label": None}) for text in texts]
    return TASK.split(source.eval(), facts, items)


@pytest.mark.parametrize("name", ["head", "described"])
def test_from_bytes_to_labels(name, bundles):
    for variant in ("onnx-fp32", "openvino-fp32"):
        with Predictor(bundles / f"{name}.tport", variant=variant, threads=1) as predictor:
            for text, topic in _words.SENTENCES:
                labels = predictor.predict(text.encode())["labels"]
                assert labels[0]["label"] == topic and sum(one["score"] for one in labels) == pytest.approx(1, abs=1e-5)
            assert len(predictor.predict("球队赢了比赛".encode())["labels"]) == 3


def test_many_at_once_are_answered_as_one_by_one(bundles):
    texts = (
        [text.encode() for text, _ in _words.SENTENCES] * 3
        + [b"", b"goal " * 200_000, b"\xff"]
        + [b"soup " * n for n in range(1, 20)]
    )
    with Predictor(bundles / "head.tport", threads=1) as predictor:
        alone = [(result, error and error.message) for result, _, error in predictor.predict_each(texts)]
        many = [(result, error and error.message) for result, error in predictor.predict_many(texts, 4)]
    assert [error for _, error in alone] == [error for _, error in many]
    assert sum(error is not None for _, error in many) == 2
    for (one, _), (other, _) in zip(alone, many, strict=True):
        assert (one is None) == (other is None)
        if one and other:
            assert [label["index"] for label in one["labels"]] == [label["index"] for label in other["labels"]]
            np.testing.assert_allclose(
                [label["score"] for label in one["labels"]], [label["score"] for label in other["labels"]], atol=1e-6
            )


def test_a_missing_file_among_many_is_one_error(bundles, tmp_path):
    (tmp_path / "a.txt").write_text("goal")
    with Predictor(bundles / "head.tport", threads=1) as predictor:
        answers = list(predictor.predict_many([tmp_path / "a.txt", tmp_path / "no.txt"]))
    assert answers[0][1] is None and isinstance(answers[1][1], BadInput)


def test_a_bundle_carries_the_tokenizer_and_the_labels(bundles):
    assert (bundles / "head.tport" / "assets" / "tokenizer.json").is_file()
    assert (bundles / "head.tport" / "labels.txt").read_text().split() == list(_words.TOPICS)


def test_padding_changes_nothing(words):
    graph = split(_words.Classifier(), words, labels=list(_words.TOPICS)).graphs["model"]
    ids = torch.tensor([[2, 10, 12, 3]])
    with torch.no_grad():
        short = graph.module(ids, torch.ones_like(ids))["scores"]
        long = graph.module(
            torch.nn.functional.pad(ids, (0, 20)), torch.nn.functional.pad(torch.ones_like(ids), (0, 20))
        )["scores"]
    np.testing.assert_allclose(short, long, atol=1e-6)


@pytest.mark.parametrize(("activation", "total"), [("softmax", 1.0), ("sigmoid", None), ("none", None)])
def test_activations(words, activation, total):
    feed = (torch.tensor([[2, 10, 3]]), torch.ones(1, 3, dtype=torch.int64))
    with torch.no_grad():
        logits = _words.Classifier().eval()(*feed)
        scores = (
            split(_words.Classifier(), words, labels=list(_words.TOPICS), activation=activation)
            .graphs["model"]
            .module(*feed)["scores"]
        )
    wanted = {"softmax": logits.softmax(1), "sigmoid": logits.sigmoid(), "none": logits}[activation]
    np.testing.assert_allclose(scores, wanted, rtol=1e-6)
    assert total is None or float(scores.sum()) == pytest.approx(total)


def test_a_hugging_face_classifier_takes_its_mask_as_an_addend(words):
    from transformers import BertConfig, BertForSequenceClassification

    torch.manual_seed(0)
    config = BertConfig(
        vocab_size=len(_words.WORDS),
        hidden_size=16,
        num_hidden_layers=1,
        num_attention_heads=2,
        intermediate_size=32,
        num_labels=3,
    )
    model = BertForSequenceClassification(config).eval()
    module = split(model, words, labels="a,b,c").graphs["model"].module
    ids, mask = torch.tensor([[2, 10, 12, 3, 0, 0]]), torch.tensor([[1, 1, 1, 1, 0, 0]])
    with torch.no_grad():
        assert module.logits.added
        np.testing.assert_allclose(
            module(ids, mask)["scores"], model(input_ids=ids, attention_mask=mask).logits.softmax(1), atol=1e-6
        )


class Tabular(torch.nn.Module):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x.float() @ torch.ones(7, 2)


@pytest.mark.parametrize(
    ("source", "settings", "message"),
    [
        (_words.Encoder(), {}, "answers vectors, not classes"),
        (Tabular(), {}, r"fails on token ids \[2, 8\]"),
        (torch.nn.Embedding(99, 5, dtype=torch.float64), {}, r"answers torch.float64 \[2, 8, 5\]"),
    ],
)
def test_a_model_that_does_not_fit_is_named(words, source, settings, message):
    with pytest.raises(BadInput, match=message):
        split(source, words, **settings)


def test_a_tokenizer_of_another_model_is_refused(words):
    from transformers import BertConfig, BertModel

    model = BertModel(
        BertConfig(vocab_size=10, hidden_size=16, num_hidden_layers=1, num_attention_heads=2, intermediate_size=32)
    )
    with pytest.raises(BadInput, match="the tokenizer has 57 tokens, the model 10"):
        split(model, words, labels="a,b")


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({}, "there is no tokenizer"),
        ({"activation": "relu"}, "activation is 'relu'; it takes auto, softmax, sigmoid or none"),
        ({"pooling": "sum"}, "pooling is 'sum'; it takes mean, cls or max"),
        ({"template": "news"}, "has no place for a label"),
        ({"top": 0}, "top is 0"),
        ({"labels": "/no/such"}, "one name a line"),
    ],
)
def test_impossible_facts_are_refused(words, settings, message):
    with pytest.raises(UsageError, match=message):
        TASK.resolve({**({"tokenizer": words} if settings else {}), **settings}, {})


def test_labels_are_names_or_numbers(words, tmp_path):
    facts = TASK.resolve({"tokenizer": words, "labels": "sport, music"}, {})[0]
    (tmp_path / "a.csv").write_text("text,label\ngoal,sport\nsong,1\nsoup,\n")
    assert [item.label for item in TASK.items(tmp_path / "a.csv", facts)] == [0, 1, None]
    (tmp_path / "a.csv").write_text("text,label\nsoup,food\n")
    with pytest.raises(BadInput, match="labelled 'food'"):
        TASK.items(tmp_path / "a.csv", facts)
    with pytest.raises(BadInput, match="classes have no names"):
        TASK.items(tmp_path / "a.csv", replace(facts, labels=None))


def test_nan_is_an_error():
    with pytest.raises(RunError, match="NaN"):
        TASK.host["present"]({"scores": np.array([[np.nan, 1]])}, TASK.facts(top=1))


def test_results_are_compared_and_shown():
    result = TASK.host["present"]({"scores": np.array([[0.2, 0.8]], np.float32)}, TASK.facts(labels=("no", "yes")))[
        "result"
    ]
    assert TASK.words(result) == "yes 80.0%" and TASK.lines(result) == ["yes 80.0%", "no 20.0%"]
    assert TASK.score(result, 1) == 1 and TASK.score(result, 0) == 0
    assert TASK.agree(result, result) and not TASK.agree(result, {"labels": result["labels"][::-1]})
    said = TASK.describe(TASK.facts(labels=("no", "yes"), tokenizer=Path("x/tokenizer.json")))
    assert {"labels: 2 names", "tokenizer: tokenizer.json", "top: 5"} < set(said)


@pytest.mark.long
def test_film_reviews_are_judged_as_by_plain_pytorch(tmp_path):
    import minilm

    torch.set_num_threads(1)
    items = minilm.reviews_split()[1][:40]
    table = minilm.table(items[:4], minilm.OPINIONS, tmp_path / "reviews.csv")
    settings = {"tokenizer": str(minilm.folder()), "labels": list(minilm.OPINIONS), "max_length": 128}
    torchport.deploy(
        f"{minilm.__file__}:reviews",
        tmp_path / "r.tport",
        task="text-classification",
        data=table,
        settings=settings,
        targets=["onnx"],
        recipes=["fp32"],
    )
    wanted = minilm.classify(minilm.reviews(), [text for text, _ in items]).argmax(1)
    with Predictor(tmp_path / "r.tport", threads=1) as predictor:
        got = [
            result["labels"][0]["index"]
            for result, _ in predictor.predict_many([text.encode() for text, _ in items])
            if result
        ]
    assert got == wanted.tolist()
