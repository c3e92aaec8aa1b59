"""The task `embedding`: a text in, a vector out; texts that mean the same are near each other."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import numpy as np

from ..errors import RunError
from ..types import Signature, Step, Value
from .base import Task
from .parts import HostStep, Item, Split, Values
from .shared import text_chain, texts, tokens
from .shared.tokens import TextFacts

if TYPE_CHECKING:
    import torch
    from torch.export import ExportedProgram

SAME = 0.999
"""The least cosine of two embeddings that count as the same; neighbours in a gallery are rarely nearer than that."""

ENCODERS = (
    "Albert",
    "Bert",
    "Camembert",
    "ConvBert",
    "DistilBert",
    "Electra",
    "Ernie",
    "FNet",
    "ModernBert",
    "MPNet",
    "NewModel",
    "Nomic",
    "Roberta",
    "XLMRoberta",
)


class Embedding(Value, frozen=True):
    """The vector of a text; of length 1 unless the facts say otherwise."""

    embedding: tuple[float, ...]


class EmbeddingFacts(TextFacts, frozen=True, kw_only=True):
    """What an encoder of texts was trained with."""

    normalize: Annotated[bool, "Whether the vector is brought to length 1."] = True


class EmbeddingTask(Task[EmbeddingFacts]):
    """A text -> its embedding."""

    name = "embedding"
    about = "a text -> a vector to compare with others"
    metric = "agreement"
    about_data = (
        "One text file; a table with a column text (.csv, .tsv, or .jsonl of objects); or a folder with one such table "
        "or with text files. Labels are not used."
    )
    about_metric = (
        "agreement: the share of texts whose vector points where the reference's does (cosine at least 0.999)."
    )
    suffixes = texts.SUFFIXES
    mime = texts.MIME
    answer = Embedding
    architectures = (rf"({'|'.join(ENCODERS)})Model",)
    example = "torchport deploy FOLDER --task embedding --data sentences.csv -o embedder.tport"
    facts = EmbeddingFacts

    def resolve(self, settings: Mapping[str, Any], source: Mapping[str, Any]) -> tuple[EmbeddingFacts, tuple[str, ...]]:
        """As `Task.resolve`; how texts are padded and cut off is the tokenizer's to say and is not assumed."""
        facts, assumed = super().resolve(settings, text_chain.settings(settings, source))
        return facts, tuple(name for name in assumed if name not in ("pad_id", "truncation_side"))

    def check(self, facts: EmbeddingFacts) -> EmbeddingFacts:
        """See `tokens.check`."""
        return tokens.check(facts)

    def items(self, data: Path, facts: EmbeddingFacts) -> list[Item]:
        """The user's texts, see `shared.texts.items_of`; labels say nothing about an embedding and are left out."""
        return [Item(item.name, item.read) for item in texts.items_of(data)]

    def split(self, model: torch.nn.Module | ExportedProgram, facts: EmbeddingFacts, items: Sequence[Item]) -> Split:
        """The graph `model`: token ids -> embedding, pooled and normalised inside.

        Raises:
            BadInput: the model is no model of token ids.
        """
        from .graphs import text_graphs

        feed = text_graphs.example_feed([texts.decode(item.read()) for item in items], facts)
        encoder, _ = text_graphs.encoder_of(model, facts, feed)
        return text_graphs.one_graph(text_graphs.Pooled(encoder, facts.pooling, facts.normalize), facts, feed)

    def steps(self, facts: EmbeddingFacts, model: Signature) -> tuple[Step, ...]:
        """decode, model, present."""
        return text_chain.steps("embedding")

    @property
    def host(self) -> Mapping[str, HostStep]:
        """`decode`: UTF-8 bytes -> token ids; `present`: the vector as a list."""
        return {"decode": text_chain.decode, "present": _present}

    def score(self, result: Mapping[str, Any], label: Any) -> float:
        """Embeddings carry no labels: every answer that agrees counts, see `agree`."""
        return 1.0

    def agree(self, result: Mapping[str, Any], reference: Mapping[str, Any]) -> bool:
        """Whether the two vectors point the same way, see `SAME`."""
        one, other = (np.asarray(each["embedding"]) for each in (result, reference))
        return bool(one @ other >= SAME * np.linalg.norm(one) * np.linalg.norm(other))

    def words(self, result: Mapping[str, Any]) -> str:
        """How long the vector is, and its first elements."""
        vector = result["embedding"]
        return f"{len(vector)} numbers: {' '.join(f'{value:.3f}' for value in vector[:5])} ..."


def _present(values: Values, facts: EmbeddingFacts) -> Values:
    vector = np.asarray(values["embedding"])[0]
    if not np.isfinite(vector).all():
        raise RunError("the model answered NaN", "check the weights, or use a variant of a higher precision")
    return {"result": {"embedding": vector.tolist()}}
