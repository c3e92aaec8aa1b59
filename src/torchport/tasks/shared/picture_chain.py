"""The first half of a chain that starts with a picture: bytes -> pixels -> the model, the same for every task that
takes one.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from ...errors import BadInput, UsageError
from ...types import Levels, Signature, Step, TensorSpec
from ..kinds import parse
from ..parts import HostStep, Item, TaskGraph, Values
from . import picture_facts, pictures, resize
from .picture_facts import PictureFacts

MIME: Mapping[str, str] = {"image/jpeg": ".jpg", "image/png": ".png", "image/webp": ".webp", "image/bmp": ".bmp"}


HUGGING_FACE = "pixel_values"
"""What Hugging Face's models call their picture; their other arguments are optional."""


def settings(given: Mapping[str, Any], source: Mapping[str, Any]) -> Mapping[str, Any]:
    """The source's facts, fitted to what the user gives: a stretch leaves nothing to crop, unless `crop` is given too.

    Raises:
        UsageError: `scale` 255 without a mean and a deviation to go with it.
    """
    known = {**source, **given}
    if parse(known.get("scale")) == 255 and not {"mean", "std"} <= set(known):
        raise UsageError(
            "scale=255 without mean and std", "give both, of pixels in 0..255, such as mean=127.5 std=127.5"
        )
    stretched = "crop" not in known and isinstance(parse(known.get("resize")), list)
    return {**source, "crop": None} if stretched else source


def feed(items: Sequence[Item], facts: PictureFacts, inputs: Sequence[str] | None, task: str) -> dict[str, np.ndarray]:
    """float32 [len(items), channels, height, width] under the name of the model's one input (`input` where it is not
    known).

    Where the width is free, pictures are cut on the right to that of the narrowest.

    Raises:
        BadInput: a picture that cannot be decoded, by name; or a model of several inputs.
    """
    names = ["input"] if inputs is None else [name for name in inputs if name == HUGGING_FACE] or list(inputs)
    if len(names) != 1:
        raise BadInput(
            f"the model takes {len(names)} inputs: {', '.join(names)}", f"{task} feeds one picture; use --task tensor"
        )
    made: list[np.ndarray] = []
    for item in items:
        try:
            image = pictures.decode(item.read(), facts.color)
        except BadInput as exc:
            raise BadInput(f"{item.name}: {exc.message}", exc.hint) from exc
        made.append(resize.to_pixels(image, facts))
    if made and picture_facts.is_free(facts):
        height, width = (min(pixels.shape[axis] for pixels in made) for axis in (2, 3))
        made = [pixels[:, :, :height, :width] for pixels in made]
    return {names[0]: np.concatenate(made) if made else np.zeros((0, 0, 0, 0), np.float32)}


def steps(facts: PictureFacts, model: Signature, task: str, own: frozenset[str]) -> tuple[Step, Step, Step]:
    """decode, preprocess, model; a model's output whose name is among `own` makes the value `model_<name>`.

    Preprocessing has no graph where `reducing_gap` is set, for that reduction is Pillow's own, nor where the width is
    free.

    Raises:
        BadInput: the model does not take such pictures.
    """
    source = _input_of(facts, model, task)
    taken = own | {"raw", "image", "pixels", "result"}
    outputs = {spec.name: f"model_{spec.name}" if spec.name in taken else spec.name for spec in model.outputs}
    graph, fit = ("preprocess", "shrink") if _in_graph(facts) else (None, None)
    return (
        Step(name="decode", host="decode", inputs={"raw": "raw"}, outputs={"image": "image"}),
        Step(
            name="preprocess",
            graph=graph,
            host="resize",
            inputs={"image": "image"},
            outputs={"pixels": "pixels"},
            fit=fit,
            levels=_levels(facts),
        ),
        Step(name="model", graph="model", inputs={source.name: "pixels"}, outputs=outputs),
    )


def graphs(facts: PictureFacts, items: Sequence[Item]) -> dict[str, TaskGraph]:
    """`preprocess` (uint8 [height, width, channels] -> pixels), where there is such a step (build half: needs
    torch).
    """
    from ..graphs.resample import Resample

    if not _in_graph(facts):
        return {}
    dims = {0: "height", 1: "width"}
    return {
        "preprocess": TaskGraph(
            Resample(facts).eval(),
            {"image": _example(facts, items)},
            {"image": dims},
            dict.fromkeys(dims.values(), (1, None)),
        )
    }


def host() -> dict[str, HostStep]:
    """`decode`, `resize` and `shrink`."""
    return {"decode": _decode, "resize": _resize, "shrink": _shrink}


def shown(spec: TensorSpec) -> str:
    """A tensor as errors name it: `float32[batch,3,224,224]`."""
    return f"{spec.dtype}[{','.join(map(str, spec.shape))}]"


def _in_graph(facts: PictureFacts) -> bool:
    return facts.reducing_gap is None and not picture_facts.is_free(facts)


def _levels(facts: PictureFacts) -> Levels:
    """One level of 0..255 as the model sees it; a rounding may flip on 0.1 % of pixels where runtimes sum in another
    order.
    """
    return Levels(size=float(facts.scale / (255 * np.min(facts.std))), share=0.001)


def _input_of(facts: PictureFacts, model: Signature, task: str) -> TensorSpec:
    if len(model.inputs) != 1:
        raise BadInput(f"the model takes {len(model.inputs)} inputs", f"{task} feeds one picture; use --task tensor")
    spec = model.inputs[0]
    free = isinstance(facts.resize, int) and facts.crop is None
    sides = (facts.resize, "width") if free else resize.output_size(facts)
    wanted = ("batch", picture_facts.channels(facts), *sides)
    fits = (
        spec.dtype == "float32"
        and len(spec.shape) == 4
        and all(isinstance(a, str) or a == b for a, b in zip(spec.shape[1:], wanted[1:], strict=True))
    )
    if not fits:
        raise BadInput(
            f"the model takes {shown(spec)}, the facts give float32[{','.join(map(str, wanted))}]",
            "set resize, crop and color to what it was trained with",
        )
    return spec


def _example(facts: PictureFacts, items: Sequence[Item]) -> np.ndarray:
    """A picture of 300 x 320 pixels to capture with: the user's first one, or else seeded noise."""
    if not items:
        return np.random.default_rng(0).integers(0, 256, (300, 320, picture_facts.channels(facts)), np.uint8)
    image = pictures.decode(items[0].read(), facts.color)
    small = np.array(pictures.to_pillow(image).resize((320, 300)))
    return small.reshape(300, 320, -1)


def _decode(values: Values, facts: PictureFacts) -> Values:
    return {"image": pictures.decode(values["raw"], facts.color)}


def _resize(values: Values, facts: PictureFacts) -> Values:
    return {"pixels": resize.to_pixels(values["image"], facts)}


def _shrink(values: Values, facts: PictureFacts) -> Values:
    return {"image": pictures.shrink(values["image"], values["max_shape"]["image"], facts.max_pixels)}
