"""The least that answers a picture with ONNX Runtime and Pillow: `bare.py MODEL.onnx PICTURE`. Nothing is checked."""

from __future__ import annotations

import sys

import numpy as np
import onnxruntime
from PIL import Image

session = onnxruntime.InferenceSession(sys.argv[1])
picture = Image.open(sys.argv[2]).convert("RGB").resize((224, 224), Image.Resampling.BICUBIC)
pixels = (np.asarray(picture, np.float32).transpose(2, 0, 1)[None] - 127) / 128
print(session.run(None, {session.get_inputs()[0].name: pixels})[0].argmax())
