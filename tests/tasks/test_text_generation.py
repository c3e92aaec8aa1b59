"""How a text goes on: greedy or drawn, until something ends it, as it grows, in two languages; and what does not fit is
refused.
"""

from __future__ import annotations

import time
from itertools import pairwise

import numpy as np
import pytest
import torch

import torchport
from torchport.errors import BadInput, UsageError
from torchport.predict import Predictor
from torchport.tasks import tasks
from torchport.tasks.text_generation import surprise
from torchport.testing.samples import sample_of
from torchport.testing.samples import text_generation as sample

TASK = tasks.get("text-generation")
DRAWN = {"temperature": 4.0, "suppress": [sample.END]}
"""So hot that draws differ, and long, for nothing ends them."""


@pytest.fixture(scope="module")
def bundle(tmp_path_factory):
    folder = tmp_path_factory.mktemp("generation")
    made = sample_of("text-generation", folder)
    torchport.deploy(
        made.source,
        folder / "g.tport",
        task=made.task,
        data=made.data,
        settings=made.settings,
        targets=["onnx", "openvino"],
        recipes=["fp32"],
        keep="all",
    )
    return folder / "g.tport"


@pytest.fixture
def opened(bundle):
    """Opens the Bundle with other facts."""
    with_facts = []

    def open_with(variant="onnx-fp32", **overrides):
        with_facts.append(Predictor(bundle, variant=variant, threads=1, overrides=overrides))
        return with_facts[-1]

    yield open_with
    for predictor in with_facts:
        predictor.close()


@pytest.fixture
def words(tmp_path):
    return str(sample.tokenizer(tmp_path))


def facts_of(words, **settings):
    return TASK.resolve({"tokenizer": words, **settings}, {})[0]


@pytest.mark.parametrize("variant", ["onnx-fp32", "openvino-fp32"])
def test_from_bytes_to_what_follows(opened, variant):
    predictor = opened(variant)
    assert predictor.predict(b"one two")["text"] == " three four five six."
    for text, continuation in sample.PROMPTS:
        assert TASK.score(predictor.predict(text.encode()), continuation) == 1


def test_chinese_is_scored_by_its_characters(opened):
    result = opened().predict("一 二 三".encode())
    assert result["stopped_by"] == "end" and [sample.WORDS[token] for token in result["tokens"]] == [
        "四",
        "五",
        "六",
        "。",
    ]
    assert TASK.score(result, "四五六。") == 1 and 0.2 < TASK.score(result, "四五七。") < 0.9


def test_what_ends_a_text(opened):
    assert opened().predict(b"one")["stopped_by"] == "end"
    short = opened(max_new_tokens=2).predict(b"one")
    assert (short["text"], short["stopped_by"], len(short["tokens"])) == (" two three", "length", 2)
    stopped = opened(stop=[" five", "six"]).predict(b"one")
    assert (stopped["text"], stopped["stopped_by"]) == (" two three four", "stop")
    assert opened(end=[sample.WORDS.index("four")]).predict(b"one")["text"] == " two three"


def test_the_context_holds_the_text_and_what_it_adds(opened):
    predictor = opened(max_new_tokens=99, **DRAWN)
    result = predictor.predict(b"one two " * 20)
    assert (result["stopped_by"], len(result["tokens"])) == ("length", 8)
    with pytest.raises(BadInput, match="the text has 48 tokens, and the model reads 48"):
        predictor.predict(b"one two " * 24)


def test_the_seed_decides_what_is_drawn(opened):
    first, again, other = (opened(seed=seed, **DRAWN).predict(b"one")["tokens"] for seed in (1, 1, 2))
    assert first == again != other and len(first) == 12


def test_sampling_from_the_best_alone_is_greedy(opened):
    greedy = opened().predict(b"one two")
    assert (
        opened(temperature=9.0, top_k=1).predict(b"one two")
        == greedy
        == opened(temperature=9.0, top_p=1e-6).predict(b"one two")
    )


@pytest.mark.parametrize(
    "facts",
    [
        {},
        {"stop": ["five six"]},
        {"stop": [" five seven", "six"]},
        {"max_new_tokens": 3, "stop": ["five six"]},
        {"seed": 5, **DRAWN},
    ],
)
def test_what_is_told_on_the_way_adds_up_to_the_answer(opened, facts):
    predictor = opened(**facts)
    running, told = predictor.stream(b"one two"), ""
    while True:
        try:
            told += next(running)["delta"]
        except StopIteration as ended:
            answer = ended.value
            break
    assert answer == predictor.predict(b"one two")
    assert answer["text"] == told and told


def test_two_texts_at_once_remember_their_own(opened):
    predictor = opened()
    alone = [predictor.predict(text) for text in (b"one two", "四".encode())]
    running = [predictor.stream(text) for text in (b"one two", "四".encode())]
    answers = {}
    while len(answers) < 2:
        for number, stream in enumerate(running):
            try:
                next(stream)
            except StopIteration as ended:
                answers.setdefault(number, ended.value)
    assert [answers[0], answers[1]] == alone


def test_surprise_is_that_of_the_model(opened):
    predictor = opened()
    ids = [sample.WORDS.index(word) for word in ("one", "two", "three", "six", "two")]
    model = sample.Counting().eval()
    with torch.no_grad():
        state, wanted = model.first(1), 0.0
        for token, following in pairwise(ids):
            logits, state = model.step(torch.tensor([[token]]), **state)
            wanted -= float(logits[0].log_softmax(-1)[following])
    assert surprise(predictor.pipeline.runners["step"].run, predictor.pipeline.facts, ids) == pytest.approx(
        wanted, rel=1e-5
    )


@pytest.mark.parametrize(
    ("raw", "message"),
    [
        (b"", "empty"),
        (b" \n\t ", "empty"),
        (b"caf\xe9", "not UTF-8 at byte 3"),
        (b"Ich liebe dich", "does not know 3 of the text's 3 tokens"),
        (b"one two " * 1_400_000, "the text has 11.2 MB"),
        (b"one two " * 130_000, "the text has 260000 tokens, and the model reads 48"),
    ],
)
def test_bad_input_is_refused_soon(opened, raw, message):
    predictor, start = opened(), time.process_time()
    with pytest.raises(BadInput, match=message) as said:
        predictor.predict(raw)
    assert said.value.hint and time.process_time() - start < 10
    assert predictor.predict(b"one")["text"] == " two three four five six."


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"tokenizer": None}, "there is no tokenizer"),
        ({"temperature": -1}, "temperature is -1; it takes a number, 0 to 100"),
        ({"top_p": 2}, "top_p is 2; it takes a number, 0 to 1"),
        ({"max_new_tokens": 0}, "max_new_tokens is 0"),
        ({"context": "long"}, "context is 'long'"),
        ({"end": "x,y"}, "end is 'x,y'; it takes none, or a list, each a whole number"),
    ],
)
def test_impossible_facts_are_refused(words, settings, message):
    with pytest.raises(UsageError, match=message):
        facts_of(words, **{"tokenizer": words, **settings})


def test_what_has_no_cache_is_named(words):
    item = type("Item", (), {"read": lambda self=None: b"one"})
    program = torch.export.export(torch.nn.Linear(2, 2), (torch.zeros(1, 2),))
    with pytest.raises(BadInput, match="no cache to carry"):
        TASK.split(program, facts_of(words), [item()])
    with pytest.raises(BadInput, match="Linear is not a text generator"):
        TASK.split(torch.nn.Linear(2, 2), facts_of(words), [item()])


def test_results_are_compared_and_shown():
    result = {"text": " one\ntwo", "tokens": [1, 2], "stopped_by": "end"}
    assert TASK.agree(result, {"tokens": (1, 2)}) and not TASK.agree(result, {"tokens": [1]})
    assert TASK.words(result) == "one two" and TASK.lines(result) == [" one", "two"]
    assert TASK.words({"text": "word " * 40}).endswith("...")


@pytest.mark.long
def test_news_goes_on_as_transformers_writes_it(tmp_path):
    """As the short slice of `benchmarks/tasks` shows for the same model, see test_task_benchmarks.py."""
    import gpt2_bbc

    torch.set_num_threads(1)
    prompts = gpt2_bbc.prompts(8)
    (tmp_path / "prompts.csv").write_text("text\n" + "".join(f'"{prompt}"\n' for prompt in prompts[:2]))
    torchport.deploy(
        f"hf:{gpt2_bbc.folder()}",
        tmp_path / "g.tport",
        data=tmp_path / "prompts.csv",
        settings={"max_new_tokens": 24},
        targets=["onnx"],
        recipes=["fp32"],
    )
    model = gpt2_bbc.model()
    with Predictor(tmp_path / "g.tport", threads=1) as predictor:
        for prompt in prompts:
            values = predictor.values(prompt.encode())
            ids = torch.tensor([values["ids"]])
            wanted = model.generate(
                input_ids=ids,
                attention_mask=torch.ones_like(ids),
                do_sample=False,
                max_new_tokens=24,
                pad_token_id=model.config.eos_token_id,
            )[0]
            said = values["result"]["tokens"]
            np.testing.assert_array_equal(said, wanted[ids.shape[1] :][: len(said)])
            assert len(said) == 24 or wanted[ids.shape[1] + len(said)] == model.config.eos_token_id
