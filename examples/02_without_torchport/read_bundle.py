"""`read_bundle.py BUNDLE [PICTURE]`: the common case (RGB, shortest side, centre crop); docs/bundle.md specifies the rest."""

import hashlib
import io
import json
import pathlib
import struct
import sys

import numpy as np
import onnxruntime
from PIL import Image, ImageOps

root = pathlib.Path(sys.argv[1])
manifest = json.loads((root / "torchport.json").read_bytes())
assert manifest["schema"] <= 4, "made by a newer torchport"
listed = {f["path"]: f for f in manifest["files"]}


def read(path):
    """A listed file's bytes, checked."""
    assert path in listed, f"{path} is stored coded (torchport pack --smallest), and this reader takes plain files"
    entry, parts = listed[path], pathlib.PurePosixPath(path).parts
    assert ".." not in parts and not path.startswith("/"), "leaves the Bundle"
    raw = (root / path).read_bytes()
    assert len(raw) == entry["size"] and hashlib.sha256(raw).hexdigest() == entry["sha256"], f"{path} is damaged"
    return raw


variant = next(v for v in manifest["variants"] if v["artifact"]["target"] == "onnx")
graphs = variant["artifact"]["graphs"]
sessions = {name: onnxruntime.InferenceSession(read(f"variants/{variant['id']}/{g['entry']}"), providers=["CPUExecutionProvider"]) for name, g in graphs.items() if name != "preprocess"}
facts = manifest["task"]["facts"]


def decode(raw):
    return np.asarray(ImageOps.exif_transpose(Image.open(io.BytesIO(raw))).convert("RGB"))


def preprocess(image):
    h, w = image.shape[:2]
    new_w, new_h = (facts["resize"] * n // min(h, w) for n in (w, h))
    kernel = {"bicubic": Image.Resampling.BICUBIC, "bilinear": Image.Resampling.BILINEAR}[facts["interpolation"]]
    left, top = round((new_w - facts["crop"]) / 2), round((new_h - facts["crop"]) / 2)
    pixels = np.asarray(Image.fromarray(image).resize((new_w, new_h), kernel), np.float32)
    pixels = pixels[top : top + facts["crop"], left : left + facts["crop"]].transpose(2, 0, 1)[None]
    pixels = pixels if facts["scale"] == 255 else pixels / np.float32(255)
    mean, std = (np.array(facts[k], np.float32).reshape(1, -1, 1, 1) for k in ("mean", "std"))
    return (pixels - mean) / std


def answer(raw):
    values = {"raw": raw}
    for step in manifest["steps"]:
        inputs = {own: values[name] for own, name in step["inputs"].items()}
        if step["name"] == "decode":
            outputs = {own: decode(raw) for own in step["outputs"]}
        elif step["name"] == "preprocess":
            outputs = {own: preprocess(*inputs.values()) for own in step["outputs"]}
        elif step["name"] == "present":
            scores = np.ravel(next(iter(inputs.values())))
            outputs = {"result": {"labels": [{"index": int(i), "label": facts["labels"][i], "score": float(scores[i])} for i in np.argsort(-scores)[: facts["top"]]]}}
        else:
            io_names = graphs[step["graph"]]["io"]
            found = sessions[step["graph"]].run([io_names[own]["name"] for own in step["outputs"]], {io_names[own]["name"]: value for own, value in inputs.items()})
            outputs = dict(zip(step["outputs"], found, strict=True))
        values.update({name: outputs[own] for own, name in step["outputs"].items()})
    return values


if len(sys.argv) > 2:
    print(json.dumps(answer(pathlib.Path(sys.argv[2]).read_bytes())["result"], indent=1))
else:
    raw = read(manifest["golden"][0]["path"])
    size = struct.unpack("<Q", raw[:8])[0]
    header = {k: v for k, v in json.loads(raw[8 : 8 + size]).items() if k != "__metadata__"}
    golden = {k: np.frombuffer(raw[8 + size :][slice(*v["data_offsets"])], {"U8": "u1", "F32": "<f4", "I64": "<i8"}[v["dtype"]]).reshape(v["shape"]) for k, v in header.items()}
    for i, item in enumerate(manifest["golden"][0]["items"]):
        for name, value in answer(golden[f"{i}/raw"].tobytes()).items():
            if isinstance(value, np.ndarray):
                print(item, name, "greatest difference", float(np.abs(value.astype(float) - golden[f"{i}/{name}"]).max(initial=0)))
