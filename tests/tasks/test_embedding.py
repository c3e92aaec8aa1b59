"""A text's vector: near what means the same, of length 1, the same from every runtime."""

from __future__ import annotations

import numpy as np
import pytest
import torch

import torchport
from torchport.errors import RunError, UsageError
from torchport.predict import Predictor
from torchport.tasks import tasks
from torchport.testing.samples import _words, sample_of

TASK = tasks.get("embedding")


@pytest.fixture(scope="module")
def bundle(tmp_path_factory):
    folder = tmp_path_factory.mktemp("embedding")
    sample = sample_of("embedding", folder)
    torchport.deploy(
        sample.source,
        folder / "e.tport",
        task=sample.task,
        data=sample.data,
        settings=sample.settings,
        targets=["onnx"],
        recipes=["fp32"],
    )
    return folder / "e.tport"


def test_what_is_of_one_topic_is_near(bundle):
    with Predictor(bundle, threads=1) as predictor:
        goal, match, soup, chinese = (
            np.array(predictor.predict(text.encode())["embedding"]) for text in ("goal", "match team", "soup", "球队")
        )
    assert goal.shape == (16,) and np.linalg.norm(goal) == pytest.approx(1, abs=1e-6)
    assert goal @ match > 0.9 > 0.5 > goal @ soup
    assert np.linalg.norm(chinese) == pytest.approx(1, abs=1e-6)


@pytest.mark.parametrize("pooling", ["mean", "cls", "max"])
@pytest.mark.parametrize("normalize", [True, "false"])
def test_pooling_leaves_padding_out(tmp_path, pooling, normalize):
    facts = TASK.resolve(
        {"tokenizer": str(_words.tokenizer(tmp_path)), "pooling": pooling, "normalize": normalize}, {}
    )[0]
    encoder = _words.Encoder().eval()
    item = type("Item", (), {"read": lambda self=None: b"a goal"})
    module = TASK.split(encoder, facts, [item]).graphs["model"].module
    ids, mask = torch.tensor([[2, 10, 12, 3, 0, 0]]), torch.tensor([[1, 1, 1, 1, 0, 0]])
    with torch.no_grad():
        hidden = encoder(ids, mask)[:, :4]
        wanted = {"mean": hidden.mean(1), "cls": hidden[:, 0], "max": hidden.amax(1)}[pooling]
        got = module(ids, mask)["embedding"]
    np.testing.assert_allclose(got, torch.nn.functional.normalize(wanted) if normalize is True else wanted, atol=1e-6)


def test_vectors_agree_by_their_direction():
    one = TASK.host["present"]({"embedding": np.array([[0.6, 0.8]], np.float32)}, {})["result"]
    assert TASK.agree(one, {"embedding": [0.601, 0.799]}) and not TASK.agree(one, {"embedding": [0.8, 0.6]})
    assert TASK.score(one, None) == 1 and TASK.words(one) == "2 numbers: 0.600 0.800 ..."
    with pytest.raises(RunError, match="NaN"):
        TASK.host["present"]({"embedding": np.array([[np.inf, 0]])}, {})


def test_normalize_is_true_or_false(tmp_path):
    with pytest.raises(UsageError, match="normalize is 'perhaps'"):
        TASK.resolve({"tokenizer": str(_words.tokenizer(tmp_path)), "normalize": "perhaps"}, {})


def test_a_hugging_face_folder_states_its_facts():
    import minilm

    from torchport.frontend.source import open_source

    facts = open_source(str(minilm.folder())).facts
    assert (
        facts["tokenizer"] == minilm.folder() / "tokenizer.json"
        and facts["max_length"] == 256
        and facts["pooling"] == "mean"
    )
    resolved, assumed = TASK.resolve({}, facts)
    assert resolved.max_length == 256 and set(assumed) == {"pad_to"} and resolved.normalize is True


@pytest.mark.slow
def test_sentences_that_mean_the_same_are_near(tmp_path):
    import minilm

    torch.set_num_threads(1)
    texts = ["A man is eating food.", "Someone eats a meal.", "The stock market fell today.", "一个男人在吃饭。"]
    (tmp_path / "a.csv").write_text("text\n" + "".join(f'"{text}"\n' for text in texts), encoding="utf-8")
    torchport.deploy(
        str(minilm.folder()),
        tmp_path / "e.tport",
        task="embedding",
        data=tmp_path / "a.csv",
        targets=["onnx"],
        recipes=["fp32"],
    )
    with Predictor(tmp_path / "e.tport", threads=1) as predictor:
        vectors = np.array([predictor.predict(text.encode())["embedding"] for text in texts])
    np.testing.assert_allclose(vectors, minilm.embed(minilm.encoder(), texts), atol=1e-5)
    near, far = (0.897, 0.651) if minilm.quick() else (0.761, -0.017)  # of the first two layers, and of all six
    assert vectors[0] @ vectors[1] == pytest.approx(near, abs=1e-3)
    assert vectors[0] @ vectors[2] == pytest.approx(far, abs=1e-3)
