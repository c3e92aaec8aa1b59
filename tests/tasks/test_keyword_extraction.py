"""Keywords from bytes: in several languages, against plain PyTorch, with and without diversity."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch

import torchport
from torchport.errors import BadInput, RunError, UsageError
from torchport.predict import Predictor
from torchport.tasks import keyword_extraction, tasks
from torchport.tasks.calls import exhaust, perform
from torchport.testing.samples import _words, sample_of

TASK = tasks.get("keyword-extraction")


@pytest.fixture(scope="module")
def bundle(tmp_path_factory):
    folder = tmp_path_factory.mktemp("keywords")
    sample = sample_of("keyword-extraction", folder)
    torchport.deploy(
        sample.source,
        folder / "k.tport",
        task=sample.task,
        data=sample.data,
        settings=sample.settings,
        targets=["onnx", "openvino"],
        recipes=["fp32"],
        keep="all",
    )
    return folder / "k.tport"


@pytest.fixture
def facts(tmp_path):
    return TASK.resolve({"tokenizer": str(_words.tokenizer(tmp_path))}, {})[0]


@pytest.mark.parametrize("variant", ["onnx-fp32", "openvino-fp32"])
def test_from_bytes_to_keywords(bundle, variant):
    with Predictor(bundle, variant=variant, threads=1, overrides={"top": 2, "words": 1}) as predictor:
        result = predictor.predict(
            b"The team and the coach in the league: goal, goal, match, and a piano for the season."
        )
        assert result["language"] == "en" and len(result["keywords"]) == 2
        assert {one["keyword"] for one in result["keywords"]} <= {"team", "coach", "league", "goal", "match", "season"}
        chinese = predictor.predict("球队赢了比赛".encode())
        assert chinese["language"] == "zh" and {one["keyword"] for one in chinese["keywords"]} <= {"球队", "赢", "比赛"}
        assert predictor.predict(b"the and of")["keywords"] == []
        assert len(predictor.predict(b"a goal of the team in season " * 400_000)["keywords"]) == 2
        with pytest.raises(BadInput, match="empty"):
            predictor.predict(b"  ")


def test_the_answer_is_that_of_plain_pytorch(facts):
    torch.manual_seed(1)
    encoder = _words.Encoder().eval()
    text = "A recipe for soup with bread, and a song about the kitchen, the piano and a stadium."
    item = type("Item", (), {"read": lambda self=None: text.encode()})
    module = TASK.split(encoder, facts, [item]).graphs["model"].module

    def call(name, feed):
        with torch.no_grad():
            return {name: value.numpy() for name, value in module(*map(torch.from_numpy, feed.values())).items()}

    values = {"text": text, **TASK.host["candidates"]({"text": text}, facts)}
    values |= exhaust(perform(TASK.drivers["embed"](values, facts), call))
    got = TASK.host["present"](values, facts)["result"]["keywords"]

    def embed(one):
        ids = torch.tensor(
            [
                [
                    2,
                    *(
                        _words.WORDS.index(word)
                        for word in one.lower().replace(",", " , ").replace(".", " .").split()
                        if word in _words.WORDS
                    ),
                    3,
                ]
            ]
        )
        with torch.no_grad():
            return torch.nn.functional.normalize(encoder(ids, torch.ones_like(ids)).mean(1))[0].numpy()

    words = ["recipe", "soup", "bread", "song", "kitchen", "piano", "stadium"]
    assert values["candidates"] == words
    np.testing.assert_allclose(values["embeddings"], [embed(word) for word in words], atol=1e-6)
    near = np.array([one["score"] for one in got])
    assert [one["keyword"] for one in got] == [
        words[i] for i in np.argsort(-(values["embeddings"] @ values["document"]), kind="stable")[:5]
    ]
    assert (np.diff(near) <= 0).all()


def test_candidates_are_embedded_with_others_of_their_length():
    lengths = [3, 9, 4, 3, 8, 10] * 40
    batches = keyword_extraction._batches(lengths, 8)
    assert sorted(i for batch in batches for i in batch) == list(range(240))
    for batch in batches:
        padded = {-(-lengths[i] // 8) * 8 for i in batch}
        assert len(padded) == 1 and len(batch) * padded.pop() <= keyword_extraction.TOKENS_A_CALL
    assert keyword_extraction._batches([900], 8) == [[0]]


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"language": "tlh"}, "language is 'tlh'; it takes text, one of auto, de, en"),
        ({"diversity": 2}, "it takes a number, 0 to 1"),
        ({"diversity": "much"}, "it takes a number, 0 to 1"),
        ({"words": 0}, "words is 0"),
        ({"stop_words": "/no/such"}, "stop_words"),
    ],
)
def test_impossible_facts_are_refused(tmp_path, settings, message):
    with pytest.raises(UsageError, match=message):
        TASK.resolve({"tokenizer": str(_words.tokenizer(tmp_path)), **settings}, {})


def test_own_stop_words_take_the_place_of_the_languages(tmp_path, facts):
    (tmp_path / "stop.txt").write_text("Goal\nteam\n")
    own, _ = TASK.resolve(
        {"tokenizer": facts.tokenizer, "stop_words": str(tmp_path / "stop.txt"), "language": "de"}, {}
    )
    made = TASK.host["candidates"]({"text": "The goal of the team"}, own)
    assert made == {"candidates": ["The", "of"], "language": "de"}
    assert "stop_words: 2 words" in TASK.describe(own) and "stop_words: those of the language" in TASK.describe(facts)


def test_labels_are_keywords_and_scores_are_precision(tmp_path, facts):
    (tmp_path / "a.jsonl").write_text(
        json.dumps({"text": "x", "label": "Goal;team"}) + "\n" + json.dumps({"text": "y"})
    )
    first, second = TASK.items(tmp_path / "a.jsonl", facts)
    result = {"keywords": [{"keyword": "goal", "score": 0.5}, {"keyword": "soup", "score": 0.4}], "language": "en"}
    assert (
        TASK.score(result, first.label) == 0.5
        and second.label is None
        and TASK.score({"keywords": []}, first.label) == 0
    )
    assert TASK.agree(result, result) and not TASK.agree(result, {"keywords": result["keywords"][::-1]})
    assert (
        TASK.words(result) == "goal, soup"
        and TASK.lines(result) == ["goal 0.500", "soup 0.400"]
        and TASK.lines({"keywords": []}) == ["no keyword"]
    )
    with pytest.raises(RunError, match="NaN"):
        TASK.host["present"](
            {"embeddings": np.full((1, 2), np.nan), "document": np.ones(2), "candidates": ["x"], "language": "en"},
            facts,
        )
