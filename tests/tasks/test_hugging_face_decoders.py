"""`deploy hf:DIR` of what speaks token by token, a tiny seeded model a family: encoder-decoders and causal models say
what transformers' `generate` says.
"""

from __future__ import annotations

from typing import Any

import pytest
import torch
from hugging import END, PAD, SIZES, START, TEXTS, deployed, folder_of, ids_of, texts

from torchport.predict import Predictor

transformers = pytest.importorskip("transformers")

pytestmark = pytest.mark.filterwarnings("ignore:::transformers")
NEW = 10
TARGETS = ("onnx", "openvino")
SEQUENCE = {
    **SIZES,
    "d_model": 16,
    "encoder_layers": 1,
    "decoder_layers": 2,
    "encoder_attention_heads": 2,
    "decoder_attention_heads": 2,
    "encoder_ffn_dim": 32,
    "decoder_ffn_dim": 32,
}
TOLD = {"decoder_start_token_id": START, "forced_eos_token_id": None, "init_std": 0.5, "max_position_embeddings": 64}


def marian() -> Any:
    return transformers.MarianMTModel(transformers.MarianConfig(**SEQUENCE, **TOLD))


def bart() -> Any:
    return transformers.BartForConditionalGeneration(
        transformers.BartConfig(**{**SEQUENCE, "decoder_layers": 1}, **TOLD, bos_token_id=START)
    )


def t5() -> Any:
    sizes = {"d_model": 16, "d_kv": 8, "d_ff": 32, "num_layers": 1, "num_heads": 2}
    return transformers.T5ForConditionalGeneration(
        transformers.T5Config(**SIZES, **sizes, decoder_start_token_id=PAD, initializer_factor=2.0)
    )


def gpt2() -> Any:
    return transformers.GPT2LMHeadModel(
        transformers.GPT2Config(
            **SIZES, bos_token_id=START, n_positions=64, n_embd=16, n_layer=1, n_head=2, initializer_range=0.5
        )
    )


def llama() -> Any:
    sizes = {
        "hidden_size": 16,
        "intermediate_size": 32,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
    }
    return transformers.LlamaForCausalLM(
        transformers.LlamaConfig(
            **SIZES, **sizes, bos_token_id=START, max_position_embeddings=64, initializer_range=0.5
        )
    )


@pytest.mark.parametrize(
    "make", [marian, pytest.param(bart, marks=pytest.mark.long), pytest.param(t5, marks=pytest.mark.long)]
)
def test_encoder_decoders_greedy_and_by_beams(make, tmp_path):
    place = tmp_path / "tiny"
    model = folder_of(make, place)
    with (
        deployed(place, texts(place), "translation", TARGETS, max_new_tokens=NEW, max_source=32, batch=3) as greedy,
        Predictor(tmp_path / "x.tport", variant="openvino-fp32", threads=1, overrides={"beams": 3}) as wide,
    ):
        together = greedy.predict("\n".join(TEXTS).encode())["tokens"]
        for text, row in zip(TEXTS, together, strict=True):
            ids = ids_of(place, text)
            for beams, said in ((1, row), (3, wide.predict(text.encode())["tokens"][0])):
                wanted = model.generate(
                    input_ids=ids,
                    attention_mask=torch.ones_like(ids),
                    num_beams=beams,
                    do_sample=False,
                    max_new_tokens=NEW,
                )[0, 1:].tolist()
                assert list(said) == [token for token in wanted if token not in (PAD, END)], (text, beams)
    assert len({tuple(row) for row in together}) > 1


@pytest.mark.parametrize("make", [gpt2, pytest.param(llama, marks=pytest.mark.long)])
def test_causal_models(make, tmp_path):
    place = tmp_path / "tiny"
    model = folder_of(make, place)
    with deployed(place, texts(place), "text-generation", TARGETS, max_new_tokens=NEW) as predictor:
        for text in TEXTS:
            ids = ids_of(place, text)[:, :-1]  # without the end that the tokenizer adds
            wanted = model.generate(
                input_ids=ids, attention_mask=torch.ones_like(ids), do_sample=False, max_new_tokens=NEW
            )[0, ids.shape[1] :].tolist()
            assert list(predictor.predict(text.encode())["tokens"]) == [token for token in wanted if token != END]
        likely = [
            model(input_ids=ids, labels=ids).loss.neg().exp().item()
            for ids in (ids_of(place, text)[:, :-1] for text in TEXTS)
        ]
        for candidate in predictor.bundle.manifest.evidence.candidates:
            assert (candidate.accuracy.metric, candidate.accuracy.value) == (
                "1/perplexity",
                pytest.approx(sum(likely) / len(likely), rel=1e-3),
            ), candidate.id
