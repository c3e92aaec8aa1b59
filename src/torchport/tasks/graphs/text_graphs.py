"""The graph of a text encoder: the user's model with what comes after it, from token ids to an embedding or to scores
(build half).

Every graph here takes `input_ids` and `attention_mask`, int64 [batch, length] each, both dimensions dynamic.
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from ...errors import BadInput, first_line
from ...system.noise import quiet
from ..parts import Split, TaskGraph
from ..shared import tokens

if TYPE_CHECKING:
    from torch.export import ExportedProgram

LOW = -1e4
"""Added to a score of attention that is to be none: e^-10000 is 0 in every precision, and half precision has the
number.
"""

SHARPNESS = 20.0
"""What cosines are multiplied by before a softmax makes scores of them: sentence encoders are trained with 20."""


class Encoder(torch.nn.Module):
    """A model of tokens with its first answer: [batch, length, width] of an encoder, [batch, classes] of a classifier.

    The mask goes in as the model's library has it (1 for a token), or, where the model answers the same, as what is
    added to the scores of attention: the graph is then shorter by the making of it.
    """

    def __init__(self, model: torch.nn.Module) -> None:
        super().__init__()
        self.model = model
        known = inspect.signature(model.forward).parameters
        self.named = {"input_ids", "attention_mask"} <= set(known)
        self.typed = "token_type_ids" in known and bool(getattr(getattr(model, "config", None), "type_vocab_size", 0))
        self.only_ids = not self.named and len([p for p in known.values() if p.default is p.empty]) == 1
        self.added = False

    def forward(self, input_ids: torch.Tensor, attention_mask: torch.Tensor) -> torch.Tensor:
        """The first tensor of the model's answer, float32."""
        mask = attention_mask
        if self.added:
            mask = (1.0 - attention_mask[:, None, None, :].to(torch.float32)) * LOW
        if self.named:
            types = {"token_type_ids": torch.zeros_like(input_ids)} if self.typed else {}
            answer = self.model(input_ids=input_ids, attention_mask=mask, **types)
        else:
            answer = self.model(input_ids) if self.only_ids else self.model(input_ids, mask)
        return _first(answer)


class Pooled(torch.nn.Module):
    """-> `embedding`, float32 [batch, width]: the tokens' mean or maximum, or the first token; of length 1 where the
    facts say so.
    """

    def __init__(self, encoder: Encoder, pooling: str, normalize: bool) -> None:
        super().__init__()
        self.encoder, self.pooling, self.normalize = encoder, pooling, normalize

    def forward(self, input_ids: torch.Tensor, attention_mask: torch.Tensor) -> dict[str, torch.Tensor]:
        """`{"embedding": ...}`."""
        hidden = self.encoder(input_ids, attention_mask)
        if hidden.ndim == 3:
            hidden = _pool(hidden, attention_mask, self.pooling)
        if self.normalize:
            hidden = hidden / hidden.square().sum(1, keepdim=True).sqrt().clamp(min=1e-12)
        return {"embedding": hidden}


class Scored(torch.nn.Module):
    """-> `scores`, float32 [batch, classes], of a model that answers logits."""

    def __init__(self, logits: torch.nn.Module, activation: str) -> None:
        super().__init__()
        self.logits, self.activation = logits, activation

    def forward(self, input_ids: torch.Tensor, attention_mask: torch.Tensor) -> dict[str, torch.Tensor]:
        """`{"scores": ...}`."""
        logits = self.logits(input_ids, attention_mask)
        if self.activation == "none":
            return {"scores": logits}
        return {"scores": logits.sigmoid() if self.activation == "sigmoid" else logits.softmax(1)}


class Nearest(torch.nn.Module):
    """Logits of classes by a description of each: the cosine with its embedding, times `SHARPNESS`."""

    def __init__(self, pooled: Pooled, described: torch.Tensor) -> None:
        super().__init__()
        self.pooled = pooled
        self.register_buffer("described", described.T.contiguous())

    def forward(self, input_ids: torch.Tensor, attention_mask: torch.Tensor) -> torch.Tensor:
        """float32 [batch, classes]."""
        embedding = self.pooled(input_ids, attention_mask)["embedding"]
        logits: torch.Tensor = embedding @ self.described * SHARPNESS
        return logits


def encoder_of(
    model: torch.nn.Module | ExportedProgram, facts: tokens.TextFacts, feed: tokens.Tokens, *, scored: bool = False
) -> tuple[Encoder, torch.Tensor]:
    """The model as an Encoder, and its answer to a feed.

    Args:
        scored: the task takes classifiers of whole texts too.

    Raises:
        BadInput: a model of transformers with another head, whose answer would be taken for vectors; the model takes no
        token ids, answers no float32 [batch, length, width] or [batch, classes], or has fewer
            embeddings than the tokenizer has tokens.
    """
    module = model if isinstance(model, torch.nn.Module) else model.module(check_guards=False)
    _check_head(module, scored)
    config = getattr(module, "config", None)
    if getattr(config, "pad_token_id", 0) is None:  # by it a causal model finds a text's last token
        config.pad_token_id = tokens.opened(facts).padding  # type: ignore[union-attr]
    _check_vocabulary(module, facts)
    encoder = Encoder(module).eval()
    answer = _answer(encoder, feed)
    if answer.ndim not in (2, 3) or answer.dtype != torch.float32:
        raise BadInput(
            f"the model answers {answer.dtype} {list(answer.shape)}",
            "a text model answers float32 [batch, length, width] or [batch, classes]",
        )
    if encoder.named and answer.numel():
        encoder.added = _takes_added_mask(encoder, feed, answer)
    return encoder, answer


def described(pooled: Pooled, facts: tokens.TextFacts, labels: Sequence[str], template: str) -> torch.Tensor:
    """The embedding of each label's description, float32 [labels, width], of length 1."""
    feed = tokens.encode([template.replace("{}", label) for label in labels], facts)
    with torch.no_grad():
        made: torch.Tensor = pooled.eval()(*map(torch.from_numpy, feed))["embedding"]
    return torch.nn.functional.normalize(made, dim=1)


def one_graph(module: torch.nn.Module, facts: tokens.TextFacts, feed: tokens.Tokens) -> Split:
    """The graph `model` with dynamic batch and length."""
    dims = {0: "batch", 1: "length"}
    examples = {"input_ids": feed.ids, "attention_mask": feed.mask}
    return Split(
        {"model": TaskGraph(module.eval(), examples, dict.fromkeys(examples, dims), {"length": (1, facts.max_length)})},
        facts,
    )


def _first(answer: Any) -> torch.Tensor:
    if isinstance(answer, torch.Tensor):
        return answer
    values = answer.values() if hasattr(answer, "values") else answer
    found: torch.Tensor = next(value for value in values if isinstance(value, torch.Tensor))
    return found


def _pool(hidden: torch.Tensor, mask: torch.Tensor, pooling: str) -> torch.Tensor:
    kept = mask[:, :, None].to(hidden.dtype)
    if pooling == "cls":
        return hidden[:, 0]
    if pooling == "max":
        return (hidden * kept + (1 - kept) * torch.finfo(torch.float16).min).amax(1)
    return (hidden * kept).sum(1) / kept.sum(1)


def _answer(encoder: Encoder, feed: tokens.Tokens) -> torch.Tensor:
    try:
        with torch.no_grad(), quiet():
            answer: torch.Tensor = encoder(*map(torch.from_numpy, feed))
    except Exception as exc:  # the code of a stranger's model
        text = first_line(exc, kind=False)
        raise BadInput(
            f"the model fails on token ids {list(feed.ids.shape)}: {text[:200]}",
            "a text model takes input_ids and attention_mask, int64 [batch, length]",
        ) from exc
    return answer


def _takes_added_mask(encoder: Encoder, feed: tokens.Tokens, wanted: torch.Tensor) -> bool:
    """Whether the model answers a feed with padding in it the same when it is given what is added to the scores of
    attention.
    """
    mask = feed.mask.copy()
    mask[0, -(-mask.shape[1] // 2) :] = 0
    padded = tokens.Tokens(feed.ids, mask)
    plain = _answer(encoder, padded)
    encoder.added = True
    try:
        added = _answer(encoder, padded)
    except BadInput:
        return False
    finally:
        encoder.added = False
    if added.shape != plain.shape:
        return False
    kept = torch.from_numpy(mask).bool() if plain.ndim == 3 else torch.ones(len(plain), dtype=torch.bool)
    return bool((added - plain)[kept].abs().max() <= 1e-5 * plain[kept].abs().max())


def _check_head(module: torch.nn.Module, scored: bool) -> None:
    name = type(module).__name__
    head = re.search(r"(For[A-Z]\w*|LMHeadModel|DoubleHeadsModel)$", name)
    if (
        head is None
        or "transformers" not in type(module).__module__
        or (scored and head[1] == "ForSequenceClassification")
    ):
        return
    what = {
        "ForTokenClassification": "a class for each token",
        "ForQuestionAnswering": "a span of the text",
        "ForSequenceClassification": "classes of a text",
    }.get(head[1], "something else")
    raise BadInput(
        f"{name} answers {what}, and torchport has no task for it here",
        "a text-classification takes ...ForSequenceClassification, an embedding the model without a head (as in "
        "BertModel); the raw tensors are --task tensor with --input",
    )


def _check_vocabulary(module: torch.nn.Module, facts: tokens.TextFacts) -> None:
    known = tokens.opened(facts).vocabulary
    try:
        table = module.get_input_embeddings()  # type: ignore[operator]
    except (AttributeError, NotImplementedError):
        return
    if isinstance(table, torch.nn.Embedding) and table.num_embeddings < known:
        raise BadInput(
            f"the tokenizer has {known} tokens, the model {table.num_embeddings}",
            "give the tokenizer that the model was trained with",
        )


def example_feed(texts: Sequence[str], facts: tokens.TextFacts) -> tokens.Tokens:
    """Two or more texts as a real feed; one text is taken twice, and a feed of one token is padded to two."""
    feed = tokens.encode([*texts, *texts][: max(2, len(texts))], facts)
    if feed.ids.shape[1] > 1:
        return feed
    return tokens.Tokens(*(np.pad(array, ((0, 0), (0, 1))) for array in feed))
