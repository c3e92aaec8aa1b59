"""A small GPT-2 that writes BBC news, going on from the first twelve words of a hundred unseen articles.

Identical is the same tokens. Eager is transformers' `generate`: greedy, with its cache, one beginning at a time. The
metric is the perplexity of unseen articles' first hundred tokens, of the logits that each side gives token by token.
"""

from __future__ import annotations

import csv
import math
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

import gpt2_bbc
import numpy as np
import torch
from row import FEW, Row, passed, speedup
from tokenizers import Tokenizer
from transformers import GPT2LMHeadModel

import torchport
from torchport.predict import Predictor
from torchport.tasks.text_generation import surprise

TARGETS = ("executorch", "onnx", "openvino", "torchscript")
NEW, SCORED = 48, 100
"""Tokens of a continuation, and of an article that is scored."""

DEPLOYED_ON = 10


def rows(short: bool) -> list[Row]:
    """One row."""
    torch.set_num_threads(1)
    prompts = gpt2_bbc.prompts(6 if short else 100)
    model, tokens = gpt2_bbc.model(), Tokenizer.from_file(str(gpt2_bbc.folder() / "tokenizer.json"))
    articles = [tokens.encode(text).ids[:SCORED] for text in gpt2_bbc.articles()[1][: 3 if short else 60]]
    with TemporaryDirectory() as folder:
        bundle, data = Path(folder) / "x.tport", Path(folder) / "prompts.csv"
        with data.open("w", encoding="utf-8", newline="") as file:
            csv.writer(file).writerows([["text"], *([prompt] for prompt in prompts[:DEPLOYED_ON])])
        outcome = torchport.deploy(
            f"hf:{gpt2_bbc.folder()}",
            bundle,
            task="text-generation",
            data=data,
            settings={"max_new_tokens": NEW},
            targets=FEW if short else TARGETS,
            recipes=["fp32"],
        )
        with Predictor(bundle, threads=1) as predictor:
            expected = [plain(model, tokens, prompt) for prompt in prompts]
            answered = [list(predictor.predict(prompt.encode())["tokens"]) for prompt in prompts]
            timed = prompts[:20]
            ratio = speedup(
                lambda: [plain(model, tokens, prompt) for prompt in timed],
                lambda: [predictor.predict(prompt.encode()) for prompt in timed],
                1 if short else 5,
            )
            pipeline = predictor.pipeline
            deployed = sum(surprise(pipeline.runners["step"].run, pipeline.facts, ids) for ids in articles)
            variant = predictor.variant.id
    scored = sum(len(ids) - 1 for ids in articles)
    said = sum(map(len, expected[: len(timed)]))
    notes: dict[str, float | str] = {
        "variant": variant,
        "eager tokens/s": said / ratio[0],
        "deployed tokens/s": said / ratio[1],
    }
    perplexity = math.exp(plain_surprise(model, articles) / scored), math.exp(deployed / scored)
    same = sum(one == other for one, other in zip(expected, answered, strict=True))
    targets = passed(outcome)
    return [
        Row(
            "text-generation",
            "GPT-2 layout, 1.3 M",
            f"BBC news, {len(prompts)} beginnings",
            "perplexity",
            *perplexity,
            same,
            len(prompts),
            ratio[2],
            targets,
            notes,
        )
    ]


@torch.no_grad()
def plain(model: GPT2LMHeadModel, tokens: Tokenizer, prompt: str) -> list[int]:
    """The tokens that transformers goes on with, the end left out."""
    ids = torch.tensor([tokens.encode(prompt).ids])
    end = model.config.eos_token_id
    whole = model.generate(
        input_ids=ids, attention_mask=torch.ones_like(ids), do_sample=False, max_new_tokens=NEW, pad_token_id=end
    )[0]
    answer = whole[ids.shape[1] :].tolist()
    return answer[: answer.index(end)] if end in answer else answer


@torch.no_grad()
def plain_surprise(model: GPT2LMHeadModel, articles: Sequence[Sequence[int]]) -> float:
    """The sum of -log p over every token of every article but its first."""
    total = 0.0
    for ids in articles:
        chances = model(input_ids=torch.tensor([ids])).logits[0, :-1].double().log_softmax(-1)
        total -= float(chances[np.arange(len(ids) - 1), ids[1:]].sum())
    return total
