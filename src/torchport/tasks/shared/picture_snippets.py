"""Programs that answer one picture with a Bundle's ONNX files: Python with onnxruntime and Pillow, JavaScript with
onnxruntime and sharp.
"""

from __future__ import annotations

from collections.abc import Mapping
from string import Template
from typing import TYPE_CHECKING

from ...types import Artifact, Signature
from . import onnx_files
from .onnx_files import OnnxFiles

if TYPE_CHECKING:
    from ..image_classification import ImageFacts

_PYTHON = Template("""\
# pip install numpy onnxruntime "pillow>=13". Pictures of more than 8 bits a sample are the one thing left out here.
import os
import sys

os.environ["ORT_DISABLE_TELEMETRY"] = "1"  # else ONNX Runtime reports to its maker
import numpy as np
import onnxruntime
from PIL import Image, ImageOps

picture = ImageOps.exif_transpose(Image.open(sys.argv[1]))
if picture.has_transparency_data:  # transparent parts show white
    above = picture.convert("RGBA")
    picture = Image.new("RGB", above.size, "white")
    picture.paste(above, mask=above.getchannel("A"))
picture = picture.convert("$mode")

$preprocess
model = onnxruntime.InferenceSession("$model")
logits = model.run([$output], {$input: pixels})[0][0]
$activate
${labels}for i in np.argsort(-scores, kind="stable")[:$top]:
    print(f"{scores[i]:.4f}", i$label)
""")

_JAVASCRIPT = Template("""\
// npm install onnxruntime-node sharp. In a browser: onnxruntime-web, fetch, and a canvas for the pixels.
// Reduce pictures of more than $max_pixels pixels first: the memory of the preprocessing grows with them.
${imports}import sharp from "sharp";

process.env.ORT_DISABLE_TELEMETRY = "1"; // else ONNX Runtime reports to its maker
const ort = await import("onnxruntime-node");
const picture = sharp(process.argv[2], { ignoreIcc: true })
  .rotate().flatten({ background: "white" }).toColourspace("srgb");
const { data, info } = await picture.raw().toBuffer({ resolveWithObject: true });
$image
const preprocess = await ort.InferenceSession.create("$preprocess");
const pixels = (await preprocess.run({ $image_name: image }))[$pixels_name];
const model = await ort.InferenceSession.create("$model");
const logits = (await model.run({ $input: pixels }))[$output];
$activate
${labels}const best = Array.from(scores.keys()).sort((a, b) => scores[b] - scores[a]);
for (const i of best.slice(0, $top)) console.log(scores[i].toFixed(4), i$label);
""")

_SCORES = {
    "softmax": "powers = np.exp(logits - logits.max())\nscores = powers / powers.sum()",
    "sigmoid": "scores = np.exp(-np.logaddexp(0, -logits))",
    "none": "scores = logits",
}

_GREY = """\
const luma = (i) => (data[3 * i] * 19595 + data[3 * i + 1] * 38470 + data[3 * i + 2] * 7471 + 32768) >> 16;
const grey = Uint8Array.from({ length: info.width * info.height }, (_, i) => luma(i));
const image = new ort.Tensor("uint8", grey, [info.height, info.width, 1]);"""

_COLOUR = 'const image = new ort.Tensor("uint8", data, [info.height, info.width, 3]);'


def programs(facts: ImageFacts, model: Signature, artifacts: Mapping[str, Artifact]) -> dict[str, str]:
    """See `Task.snippets`; for a model with one picture as its input and logits [batch, classes] as its first output.

    Args:
        facts: checked picture facts, with `activation` and `top`.
    """
    files = onnx_files.find(artifacts)
    if files is None:
        return {}
    made = {}
    if facts.antialias or "preprocess" in files.paths:
        made["python"] = _python(facts, model, files)
    if {"preprocess", *([] if facts.activation == "none" else ["postprocess"])} <= set(files.paths):
        made["javascript"] = _javascript(facts, model, files)
    return made


def _python(facts: ImageFacts, model: Signature, files: OnnxFiles) -> str:
    return _PYTHON.substitute(
        mode="L" if facts.color == "L" else "RGB",
        preprocess=_by_pillow(facts) if facts.antialias else _by_graph(facts, files),
        model=files.paths["model"],
        input=files.name("model", model.inputs[0].name),
        output=files.name("model", model.outputs[0].name),
        activate=_SCORES[facts.activation],
        labels='labels = open("labels.txt", encoding="utf-8").read().split("\\n")\n' if facts.labels else "",
        label=", labels[i]" if facts.labels else "",
        top=facts.top,
    )


def _by_pillow(facts: ImageFacts) -> str:
    resize, crop, gap = facts.resize, facts.crop, facts.reducing_gap
    size = (
        f"{resize[1]}, {resize[0]}"
        if isinstance(resize, tuple)
        else f"({resize} * side // min(picture.size) for side in picture.size)"
    )
    more = "" if gap is None else f", reducing_gap={gap}"
    lines = [
        f"width, height = {size}",
        f"picture = picture.resize((width, height), Image.Resampling.{facts.interpolation.upper()}{more})",
    ]
    if crop is not None:
        lines += [
            f"left, top = round((width - {crop}) / 2), round((height - {crop}) / 2)",
            f"picture = picture.crop((left, top, left + {crop}, top + {crop}))",
        ]
    axes = {"BGR": "[:, :, ::-1]", "L": "[:, :, None]"}.get(facts.color, "")
    lines.append(f"levels = np.asarray(picture, np.float32){axes}{' / np.float32(255)' if facts.scale == 1 else ''}")
    lines.append(
        f"pixels = ((levels - np.float32({[*facts.mean]})) / np.float32({[*facts.std]})).transpose(2, 0, 1)[None]"
    )
    return "\n".join([*lines, ""])


def _by_graph(facts: ImageFacts, files: OnnxFiles) -> str:
    """Without antialiasing Pillow has no equal: the exported graph prepares the picture."""
    image = "np.asarray(picture)[:, :, None]" if facts.color == "L" else "np.asarray(picture)"
    lines = [f'preprocess = onnxruntime.InferenceSession("{files.paths["preprocess"]}")']
    lines.append(
        f"pixels = preprocess.run([{files.name('preprocess', 'pixels')}], {{{files.name('preprocess', 'image')}: "
        f"{image}}})[0]"
    )
    return "\n".join([*lines, ""])


def _javascript(facts: ImageFacts, model: Signature, files: OnnxFiles) -> str:
    activate = "const scores = logits.data;"
    if facts.activation != "none":
        call = f"postprocess.run({{ {files.name('postprocess', 'logits')}: logits }})"
        activate = (
            f'const postprocess = await ort.InferenceSession.create("{files.paths["postprocess"]}");\nconst scores = '
            f"(await {call})[{files.name('postprocess', 'scores')}].data;"
        )
    return _JAVASCRIPT.substitute(
        max_pixels=facts.max_pixels,
        image=_GREY if facts.color == "L" else _COLOUR,
        preprocess=files.paths["preprocess"],
        image_name=files.name("preprocess", "image"),
        pixels_name=files.name("preprocess", "pixels"),
        model=files.paths["model"],
        input=files.name("model", model.inputs[0].name),
        output=files.name("model", model.outputs[0].name),
        activate=activate,
        labels='const labels = (await readFile("labels.txt", "utf8")).split("\\n");\n' if facts.labels else "",
        label=", labels[i]" if facts.labels else "",
        imports='import { readFile } from "node:fs/promises";\n' if facts.labels else "",
        top=facts.top,
    )
