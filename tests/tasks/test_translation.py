"""A text's way to another language: line by line, many lines at once, token by token, and what is said where something
does not fit.
"""

from __future__ import annotations

import time

import pytest
import torch

import torchport
from torchport.errors import BadInput, UsageError
from torchport.predict import Predictor
from torchport.tasks import tasks
from torchport.testing.samples import sample_of
from torchport.testing.samples import translation as sample

TASK = tasks.get("translation")


@pytest.fixture(scope="module")
def bundle(tmp_path_factory):
    folder = tmp_path_factory.mktemp("translation")
    made = sample_of("translation", folder)
    torchport.deploy(
        made.source,
        folder / "t.tport",
        task=made.task,
        data=made.data,
        settings=made.settings,
        targets=["onnx", "openvino"],
        recipes=["fp32"],
        keep="all",
    )
    return folder / "t.tport"


@pytest.fixture
def predictor(bundle):
    with Predictor(bundle, variant="onnx-fp32", threads=1) as opened:
        yield opened


@pytest.fixture
def words(tmp_path):
    return str(sample.tokenizer(tmp_path))


def facts_of(words, **settings):
    return TASK.resolve({"tokenizer": words, **settings}, {})[0]


def item(text):
    return type("Item", (), {"name": text, "read": lambda self=None: text.encode(), "label": None})


@pytest.mark.parametrize("variant", ["onnx-fp32", "openvino-fp32"])
def test_from_bytes_to_text(bundle, variant):
    with Predictor(bundle, variant=variant, threads=1) as predictor:
        for text, translation in sample.PAIRS:
            assert predictor.predict(text.encode())["text"] == translation


def test_chinese_is_read_and_scored_by_its_characters(predictor):
    assert predictor.predict("我 爱 猫 。".encode())["text"] == "我爱猫。"
    result = predictor.predict(b"I love the cat.")
    assert TASK.score(result, "我爱这猫。") == 1
    assert 0.3 < TASK.score(result, "我爱这狗。") < 0.9  # one character of five is another
    assert TASK.score(result, "房子") == 0


def test_lines_keep_their_places(predictor):
    result = predictor.predict(b"\n  I see you.\r\n\n\nthe cat  \n")
    assert result["text"] == "我看见你。\n\n\n这猫" and len(result["tokens"]) == 2


def test_many_lines_are_translated_as_each_by_itself(bundle):
    lines = [f"{'I love ' * (number % 5)}the {animal} and you." for number in range(20) for animal in ("cat", "dog")]
    answers = []
    for batch in (1, 3, 16):
        with Predictor(bundle, variant="onnx-fp32", threads=1, overrides={"batch": batch}) as predictor:
            answers.append(predictor.predict("\n".join(lines).encode()))
    assert answers[0] == answers[1] == answers[2]
    assert len(answers[0]["tokens"]) == len(lines) and answers[0]["text"].split("\n")[0] == "这猫和你。"


def test_the_encoder_runs_once_for_each_batch(predictor):
    calls = []
    run = predictor.pipeline.runners["encoder"].run
    predictor.pipeline.runners["encoder"].run = lambda feed: calls.append(feed["ids"].shape) or run(feed)
    predictor.predict(b"the cat\n" * 30 + b"I love the cat.\n" * 2)
    assert calls == [(16, 3), (16, 6)]  # sorted by length, so that few places are blank


def test_what_is_told_on_the_way_adds_up_to_the_answer(predictor):
    running, told = predictor.stream(b"I love the cat.\nYou see the dog and the house.\nthe cat"), []
    with pytest.raises(StopIteration) as ended:
        while True:
            told.append(next(running)["delta"])
    assert "".join(told) == ended.value.value["text"] and len(told) > 5


def test_beams_find_what_greedy_finds_where_there_is_one_way(bundle):
    with Predictor(bundle, variant="onnx-fp32", threads=1, overrides={"beams": 3}) as predictor:
        assert [predictor.predict(text.encode())["text"] for text, _ in sample.PAIRS] == [
            translation for _, translation in sample.PAIRS
        ]


def test_a_line_too_long_is_translated_by_its_sentences(predictor):
    text = "I love the cat. " * 20
    result = predictor.predict(text.encode())
    assert result["text"] == " ".join(["我爱这猫。" * 6] * 3 + ["我爱这猫。" * 2])  # 32 tokens at a time
    with pytest.raises(BadInput, match="line 2 has a sentence of 61 tokens, and 32 are read at once"):
        predictor.predict(b"the cat\n" + b"the cat and " * 20)


def test_an_answer_ends_at_its_greatest_length(bundle):
    with Predictor(bundle, variant="onnx-fp32", threads=1, overrides={"max_new_tokens": 3}) as predictor:
        result = predictor.predict(b"You see the dog and the house.\nthe cat")
    assert result["text"] == "你看见这\n这猫"


def test_tokens_that_are_never_said_and_tokens_that_end(bundle):
    the = sample.WORDS.index("这")
    with Predictor(bundle, variant="onnx-fp32", threads=1, overrides={"suppress": [the]}) as predictor:
        assert the not in predictor.predict(b"I love the cat.")["tokens"][0]
    with Predictor(bundle, variant="onnx-fp32", threads=1, overrides={"end": [0, the]}) as predictor:
        assert predictor.predict(b"I love the cat.")["text"] == "我爱"


@pytest.mark.parametrize(
    ("raw", "message"),
    [
        (b"", "empty"),
        (b" \n\t ", "empty"),
        (b"caf\xe9", "not UTF-8 at byte 3"),
        (b"Ich sehe dich nicht", "does not know 4 of the text's 4 tokens"),
        ("Я тебя люблю".encode(), "does not know 3 of the text's 3 tokens"),
        (b"I love the cat. " * 700_000, "the text has 11.2 MB"),
        (b"cat " * 200_000, "line 1 has a sentence of 200001 tokens"),
    ],
)
def test_bad_input_is_refused_soon(predictor, raw, message):
    start = time.process_time()
    with pytest.raises(BadInput, match=message) as said:
        predictor.predict(raw)
    assert said.value.hint and time.process_time() - start < 10
    assert predictor.predict(b"the cat")["text"] == "这猫"


def test_a_text_of_one_unknown_token_is_refused_and_a_long_name_is_not(tmp_path):
    from tokenizers import Tokenizer, models, pre_tokenizers

    made = Tokenizer(
        models.Unigram([("<unk>", 0.0), ("▁", -2.0), *((letter, -3.0) for letter in "abcdefgh")], unk_id=0)
    )
    made.pre_tokenizer = pre_tokenizers.Metaspace()
    made.save(str(tmp_path / "tokenizer.json"))
    facts = facts_of(str(tmp_path / "tokenizer.json"))
    assert TASK.host["tokenize"]({"text": "bad Schwarzenegger"}, facts)["sources"]
    with pytest.raises(BadInput, match="does not know 1 of the text's 1 tokens"):
        TASK.host["tokenize"]({"text": "法院裁定该公司必须支付罚款"}, facts)


def test_a_module_of_ones_own_must_say_where_it_starts_and_ends(words):
    model = sample.Dictionary().eval()
    assert TASK.split(model, facts_of(words), [item("the cat")]).facts.end == (sample.END,)
    model.facts = {"start": [0]}
    with pytest.raises(UsageError, match="which token is its end"):
        TASK.split(model, facts_of(words), [item("the cat")])
    assert TASK.split(model, facts_of(words, end="0"), [item("the cat")]).facts.end == (0,)


def test_what_cannot_be_taken_apart_is_named(words):
    program = torch.export.export(torch.nn.Linear(2, 2), (torch.zeros(1, 2),))
    with pytest.raises(BadInput, match="taken apart into encoder and step"):
        TASK.split(program, facts_of(words), [item("the cat")])
    with pytest.raises(BadInput, match="Linear is not a translator"):
        TASK.split(torch.nn.Linear(2, 2), facts_of(words, start=0, end=0), [item("the cat")])


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"tokenizer": None}, "there is no tokenizer"),
        ({"tokenizer": "/no/such.json"}, "there is no /no/such.json"),
        ({"beams": 0}, "beams is 0"),
        ({"batch": "many"}, "batch is 'many'"),
        ({"end": "stop"}, "end is 'stop'; it takes none, or a list, each a whole number"),
        ({"length_penalty": "high"}, "length_penalty is 'high'; it takes none, or a number"),
        ({"target": "pt"}, "target=pt is not a language of this tokenizer"),
    ],
)
def test_impossible_facts_are_refused(words, settings, message):
    with pytest.raises(UsageError, match=message):
        facts_of(words, **{"tokenizer": words, **settings})


@pytest.mark.parametrize(
    ("written", "told"),
    [
        (("__en__", "__pt__"), "forced"),
        (("eng_Latn", "por_Latn"), "forced"),
        ((">>en<<", ">>pt<<"), "read_first"),
        (("<2en>", "<2pt>"), "read_first"),
    ],
)
def test_languages_are_marked_as_the_tokenizer_writes_them(tmp_path, written, told):
    from tokenizers import Tokenizer

    made = Tokenizer.from_file(str(sample.tokenizer(tmp_path)))
    made.add_special_tokens(list(written))
    first = made.token_to_id(written[0])
    made.save(str(tmp_path / "tokenizer.json"))
    source, target = (name.strip("_<>2") for name in written)
    model = sample.Dictionary().eval()
    model.table, model.said = torch.nn.Embedding(first + 2, len(sample.WORDS)), torch.nn.Embedding(first + 2, 4)
    facts = TASK.split(
        model, facts_of(str(tmp_path / "tokenizer.json"), source=source, target=target), [item("the cat")]
    ).facts
    assert getattr(facts, told) == ((first + 1,) if told == "forced" else first + 1)
    ids = TASK.host["tokenize"]({"text": "the cat"}, facts)["sources"][0]
    words = [made.token_to_id(word) for word in ("the", "cat", "</s>")]
    assert ids == ([first + 1] if told == "read_first" else []) + [first, *words]
    with pytest.raises(UsageError, match=f"it knows {source}, {target}"):
        facts_of(str(tmp_path / "tokenizer.json"), target="tlh")


def test_results_are_compared_and_shown():
    result = {"text": "one two\nthree", "tokens": [[1, 2], [3]]}
    assert TASK.agree(result, {"tokens": ((1, 2), (3,))}) and not TASK.agree(result, {"tokens": [[1, 2, 3]]})
    assert TASK.words(result) == "one two three" and TASK.lines(result) == ["one two", "three"]
    assert TASK.words({"text": "word " * 40}).endswith("...") and len(TASK.words({"text": "word " * 40})) <= 80


@pytest.mark.long
def test_sentences_are_translated_as_by_plain_pytorch(tmp_path):
    import marian
    import sentencepiece

    torch.set_num_threads(1)
    vocabulary = marian.vocabulary("enpt")
    data = marian.write_pairs(tmp_path / "pairs.csv", "enpt", 2)
    torchport.deploy(
        f"{marian.__file__}:en_pt",
        tmp_path / "t.tport",
        task="translation",
        data=data,
        settings={"tokenizer": str(vocabulary)},
        targets=["onnx"],
        recipes=["fp32"],
    )
    texts = [text for text, _ in marian.pairs()[:12]]
    words, model = sentencepiece.SentencePieceProcessor(model_file=str(vocabulary)), marian.en_pt()
    with Predictor(tmp_path / "t.tport", threads=1) as predictor:
        result = predictor.predict("\n".join(texts).encode())
        wanted = [
            model.translate(ids := torch.tensor([[*words.encode(text), 0]]), torch.ones_like(ids, dtype=torch.bool))[0]
            for text in texts
        ]
        assert [list(row) for row in result["tokens"]] == wanted
        assert result["text"].split("\n") == [words.decode(row) for row in wanted]
        assert predictor.predict(b"The court decided that the company must pay a fine.")["text"].startswith(
            "O tribunal decidiu que a empresa"
        )
