"""The least that answers a picture with Pillow and ONNX Runtime, or OpenVINO: `bare.py MODEL.onnx|MODEL.xml PICTURE`.
Nothing is checked.
"""

from __future__ import annotations

import sys

import numpy as np
from PIL import Image

if sys.argv[1].endswith(".xml"):
    import openvino

    answer = openvino.Core().compile_model(sys.argv[1], "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
else:
    import onnxruntime

    session = onnxruntime.InferenceSession(sys.argv[1])

    def answer(pixels: np.ndarray) -> list[np.ndarray]:
        """The session's outputs."""
        return session.run(None, {session.get_inputs()[0].name: pixels})


picture = Image.open(sys.argv[2]).convert("RGB").resize((224, 224), Image.Resampling.BICUBIC)
print(answer((np.asarray(picture, np.float32).transpose(2, 0, 1)[None] - 127) / 128)[0].argmax())
