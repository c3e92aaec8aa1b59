"""The least that answers a picture with OpenVINO and Pillow: `bare_openvino.py MODEL.xml PICTURE`. Nothing is checked."""

from __future__ import annotations

import sys

import numpy as np
import openvino
from PIL import Image

model = openvino.Core().compile_model(sys.argv[1], "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
picture = Image.open(sys.argv[2]).convert("RGB").resize((224, 224), Image.Resampling.BICUBIC)
pixels = (np.asarray(picture, np.float32).transpose(2, 0, 1)[None] - 127) / 128
print(model(pixels)[0].argmax())
