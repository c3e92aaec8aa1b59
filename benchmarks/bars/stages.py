"""Run the graphs of one variant on given tensors: `stages.py BUNDLE VARIANT GIVEN.safetensors MADE.safetensors`.

The start of a tensor's name says where it goes in, and what comes out has the same name:

- `image/...`, uint8 [height, width, channels]: the graph `preprocess` -> pixels; left out where the artefact's bound is
  smaller;
- `host/...`, the same: the host's preprocessing -> pixels;
- `pixels/...`, float32 [batch, channels, height, width]: the graph `model` -> its first output.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator

import numpy as np
from safetensors.numpy import load_file, save_file

from torchport import Predictor


def answers(predictor: Predictor, tensors: dict[str, np.ndarray]) -> Iterator[tuple[str, np.ndarray]]:
    """Each tensor's name and what comes out."""
    chain = predictor.pipeline
    preprocess, model = chain.runners["preprocess"], chain.runners["model"]
    step = next(step for step in chain.steps if step.graph == "preprocess")
    bound = preprocess.graph.io["image"].max_shape
    for name, tensor in tensors.items():
        match name.partition("/")[0]:
            case "image" if bound is None or all(size <= most for size, most in zip(tensor.shape, bound, strict=True)):
                yield name, preprocess.run({"image": tensor})["pixels"]
            case "host":
                assert step.host
                yield name, chain.task.host[step.host]({"image": tensor}, chain.facts)["pixels"]
            case "pixels":
                yield name, next(iter(model.run({model.signature.inputs[0].name: tensor}).values()))


if __name__ == "__main__":
    with Predictor(sys.argv[1], variant=sys.argv[2], in_graph=True, trust=True) as opened:
        save_file(
            {name: np.ascontiguousarray(made) for name, made in answers(opened, load_file(sys.argv[3]))}, sys.argv[4]
        )
