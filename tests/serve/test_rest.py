"""The REST form of the protocol, as plain requests see it."""

from __future__ import annotations

import gzip
import json
import struct
import zlib
from typing import Any

import numpy as np
import pytest
from jsonschema import Draft202012Validator
from served import Served, picture

ROW = {"INPUT0": np.arange(16, dtype=np.int32)[None], "INPUT1": np.full((1, 16), 3, np.int32)}


def tensor(name: str, data: Any, shape: Any = (1, 16), datatype: str = "INT32", **parameters: Any) -> dict[str, Any]:
    made = {"name": name, "shape": shape, "datatype": datatype}
    return made | ({"parameters": parameters} if parameters else {}) | ({} if data is None else {"data": data})


def both(**extra: Any) -> dict[str, Any]:
    return {"inputs": [tensor(name, array.ravel().tolist()) for name, array in ROW.items()], **extra}


def test_health_metadata_and_index(server: Served) -> None:
    assert server.json("GET", "/v2/health/live") == (200, {"live": True})
    assert server.json("GET", "/v2/health/ready") == (200, {"ready": True})
    status, about = server.json("GET", "/v2")
    assert status == 200 and about["name"] == "torchport" and "binary_tensor_data" in about["extensions"]
    assert server.json("GET", "/v2/models/simple") == (
        200,
        {
            "name": "simple",
            "versions": ["1"],
            "platform": "torchport",
            "inputs": [{"name": name, "datatype": "INT32", "shape": [-1, 16]} for name in ("INPUT0", "INPUT1")],
            "outputs": [{"name": name, "datatype": "INT32", "shape": [-1, 16]} for name in ("OUTPUT0", "OUTPUT1")],
            "properties": {"task": "tensor", "takes": "tensor", "variant": "onnx-fp32", "settable": ""},
        },
    )
    assert server.json("GET", "/v2/models/simple/versions/1")[1] == server.json("GET", "/v2/models/simple")[1]
    names = {"simple", "simple-raw", "identity", "identity-raw", "colours", "colours-raw"}
    assert set(server.json("GET", "/v2/models")[1]["models"]) == names
    for body in (None, {}, {"ready": True}):
        status, rows = server.json("POST", "/v2/repository/index", body)
        assert status == 200 and {row["name"] for row in rows} == names
        assert {row["state"] for row in rows} == {"READY"}
    assert server.json("GET", "/v2/models/colours/ready")[0] == 200
    assert server.json("GET", "/v2/models/colours/config")[1]["input"] == [
        {"name": "pixels", "data_type": "TYPE_FP32", "dims": [3, 16, 16]}
    ]


def test_flat_and_nested_data_and_a_batch(server: Served) -> None:
    outputs = server.infer("simple", **ROW)
    np.testing.assert_array_equal(outputs["OUTPUT0"], ROW["INPUT0"] + 3)
    nested = {"inputs": [tensor(name, array.tolist()) for name, array in ROW.items()]}
    assert (
        server.json("POST", "/v2/models/simple/infer", nested)[1]["outputs"]
        == server.json("POST", "/v2/models/simple/infer", both())[1]["outputs"]
    )
    many = {name: np.repeat(array, 5, 0) for name, array in ROW.items()}
    np.testing.assert_array_equal(server.infer("simple", **many)["OUTPUT1"], many["INPUT0"] - 3)


@pytest.mark.parametrize("size", [3, 20_000])
def test_each_datatype_comes_back_as_it_went(server: Served, size: int) -> None:
    """Short bodies and long ones are read by different libraries."""
    rng = np.random.default_rng(0)
    sent = {
        "fp32": rng.standard_normal((2, size)).astype(np.float32),
        "int64": rng.integers(-(2**62), 2**62, (2, size)),
        "uint8": rng.integers(0, 256, (2, size)).astype(np.uint8),
        "flag": rng.integers(0, 2, (2, size)).astype(bool),
    }
    found = server.infer("identity", **sent)
    np.testing.assert_array_equal(found["o_flag"], ~sent.pop("flag"))
    for name, array in sent.items():
        np.testing.assert_array_equal(found[f"o_{name}"], array, strict=True)


def binary(request: dict[str, Any], *parts: bytes) -> tuple[bytes, dict[str, str]]:
    head = json.dumps(request).encode()
    return b"".join((head, *parts)), {"Inference-Header-Content-Length": str(len(head))}


def test_binary_tensors_in_and_out(server: Served) -> None:
    parts = [array.tobytes() for array in ROW.values()]
    inputs = [tensor(name, None, binary_data_size=64) for name in ROW]
    asked = {"inputs": inputs, "id": "7", "parameters": {"binary_data_output": True}}
    status, headers, answer = server.ask("POST", "/v2/models/simple/infer", *binary(asked, *parts))
    assert status == 200 and headers["content-type"] == "application/octet-stream"
    head = int(headers["inference-header-content-length"])
    told = json.loads(answer[:head])
    assert told["id"] == "7" and told["model_name"] == "simple" and told["model_version"] == "1"
    assert [one["parameters"]["binary_data_size"] for one in told["outputs"]] == [64, 64]
    np.testing.assert_array_equal(np.frombuffer(answer[head : head + 64], "<i4"), ROW["INPUT0"][0] + 3)
    asked["outputs"] = [{"name": "OUTPUT1", "parameters": {"binary_data": False}}]
    status, headers, answer = server.ask("POST", "/v2/models/simple/infer", *binary(asked, *parts))
    told = json.loads(answer[: int(headers.get("inference-header-content-length", len(answer)))])
    assert status == 200 and [one["name"] for one in told["outputs"]] == ["OUTPUT1"]
    assert told["outputs"][0]["data"] == (ROW["INPUT0"][0] - 3).tolist()


def test_compressed_bodies_in_and_out(server: Served) -> None:
    body = json.dumps(both()).encode()
    plain = server.ask("POST", "/v2/models/simple/infer", body)[2]
    for encoding, squeeze in (("gzip", gzip.compress), ("deflate", zlib.compress)):
        status, _, answer = server.ask("POST", "/v2/models/simple/infer", squeeze(body), {"Content-Encoding": encoding})
        assert (status, answer) == (200, plain)
    many = {"inputs": [tensor(name, array.ravel().tolist() * 50, (50, 16)) for name, array in ROW.items()]}
    for encoding, inflate in (("gzip", gzip.decompress), ("deflate", zlib.decompress)):
        status, headers, answer = server.ask(
            "POST", "/v2/models/simple/infer", json.dumps(many), {"Accept-Encoding": encoding}
        )
        assert status == 200 and headers["content-encoding"] == encoding
        assert json.loads(inflate(answer))["outputs"][0]["shape"] == [50, 16]


def test_the_most_likely_classes_with_their_labels(server: Served) -> None:
    pixels = np.zeros((2, 3, 16, 16), np.float32)
    pixels[0, 2] = pixels[1, 0] = 1
    asked = {
        "inputs": [tensor("pixels", pixels.ravel().tolist(), pixels.shape, "FP32")],
        "outputs": [{"name": "output_0", "parameters": {"classification": 2}}],
    }
    status, document = server.json("POST", "/v2/models/colours/infer", asked)
    (output,) = document["outputs"]
    assert status == 200 and output["datatype"] == "BYTES" and output["shape"] == [2, 2]
    assert output["data"][0] == "10.000000:2:blue" and output["data"][2] == "10.000000:0:red"


def test_raw_bodies(server: Served) -> None:
    green = picture((0, 255, 0))
    status, headers, answer = server.ask(
        "POST", "/v2/models/colours/predict?top=2", green, {"Content-Type": "image/png"}
    )
    told = json.loads(answer)
    assert status == 200 and told["ok"] and next(one["label"] for one in told["labels"]) == "green"
    assert len(told["labels"]) == 2
    form = b"--x\r\nContent-Disposition: form-data; name=f; filename=a.png\r\n\r\n" + green + b"\r\n--x--\r\n"
    sent = {"Content-Type": "multipart/form-data; boundary=x"}
    assert json.loads(server.ask("POST", "/v2/models/colours/predict?top=2", form, sent)[2]) == told
    import base64

    text = base64.b64encode(green).decode()
    assert (
        server.json("POST", "/v2/models/colours/predict?top=2", {"b64": text}, **{"Content-Type": "application/json"})[
            1
        ]
        == told
    )
    raw = {"name": "raw", "shape": [1], "datatype": "BYTES", "parameters": {"binary_data_size": len(green) + 4}}
    body, headers = binary({"inputs": [raw]}, struct.pack("<I", len(green)), green)
    status, _, answer = server.ask("POST", "/v2/models/colours-raw/infer", body, headers)
    outputs = {one["name"]: one["data"] for one in json.loads(answer)["outputs"]}
    assert status == 200 and outputs["labels"][0] == "green"
    assert json.loads(outputs["result"][0])["labels"][0]["label"] == "green"


def test_what_has_been_answered_is_counted(server: Served) -> None:
    server.infer("simple", **ROW)
    status, told = server.json("GET", "/v2/models/simple/stats")
    (row,) = told["model_stats"]
    assert status == 200 and row["inference_stats"]["success"]["count"] >= 1 and row["inference_count"] >= 1
    status, headers, answer = server.ask("GET", "/metrics")
    assert status == 200 and headers["content-type"].startswith("text/plain")
    assert b'nv_inference_request_success_total{model="simple",version="1"}' in answer


BAD: list[tuple[str, Any]] = [
    ("", "no inference request"),
    ("{", "no inference request"),
    ("[]", "no inference request"),
    ('{"inputs": []}', "has no inputs"),
    ("[" * 200_000, "no inference request"),
    ('{"inputs":' * 30_000, "no inference request"),
    (both(inputs=[tensor("INPUT0", [1] * 16)]), "inputs are"),
    (both(inputs=[tensor("INPUT0", [1] * 15), tensor("INPUT1", [1] * 16)]), "has 15 elements"),
    (both(inputs=[tensor("INPUT0", [2**40] * 16), tensor("INPUT1", [1] * 16)]), "INT32 does not"),
    (both(inputs=[tensor("INPUT0", ["1"] * 16), tensor("INPUT1", [1] * 16)]), "is not INT32"),
    (both(inputs=[tensor("INPUT0", [1.5] * 16), tensor("INPUT1", [1] * 16)]), "is not INT32"),
    (both(inputs=[tensor("INPUT0", [1] * 16, datatype="FP99"), tensor("INPUT1", [1] * 16)]), "datatype"),
    (both(inputs=[tensor("INPUT0", [1] * 16, datatype="INT64"), tensor("INPUT1", [1] * 16)]), "int64"),
    (both(inputs=[tensor("INPUT0", [1] * 16, [-1, -16]), tensor("INPUT1", [1] * 16)]), "not negative"),
    (both(inputs=[tensor("INPUT0", [1] * 16, [2**62, 2**62]), tensor("INPUT1", [1] * 16)]), "at most"),
    (both(inputs=[tensor("INPUT0", None), tensor("INPUT1", [1] * 16)]), "no value"),
    (both(inputs=[tensor("INPUT0", [1] * 16)] * 2), "twice"),
    (both(outputs=[{"name": "nobody"}]), "no output"),
    (both(outputs=[{"name": "OUTPUT0"}] * 2), "twice"),
    (both(outputs=[{"name": "OUTPUT0"}] * 5000), "too many"),
    (both(parameters={"timeout": "soon"}), ""),
    (both(inputs=[tensor("INPUT0", None, shared_memory_region="x"), tensor("INPUT1", [1] * 16)]), "shared memory"),
]


@pytest.mark.parametrize(("body", "words"), BAD, ids=range(len(BAD)))
def test_bad_requests_are_told_what_is_wrong(server: Served, body: Any, words: str) -> None:
    text = body if isinstance(body, str) else json.dumps(body)
    status, _, answer = server.ask("POST", "/v2/models/simple/infer", text)
    if words:
        assert status == 400 and words in json.loads(answer)["error"]
    assert server.json("GET", "/v2/health/live")[0] == 200


def test_paths_and_methods_that_there_are_not(server: Served) -> None:
    for path in ("/v2/models/nobody/infer", "/v2/models/..%2f..%2fetc/infer", "/v2/models/simple/versions/9/infer"):
        assert server.json("POST", path, both())[0] == 404
    status, headers, answer = server.ask("GET", "/v2/models/simple/infer")
    assert status == 405 and headers["allow"] == "POST" and json.loads(answer)["error"]
    for path, allowed in {"v2/logging": "GET, POST", "v2/trace/setting": "GET, POST", "v1/completions": "POST"}.items():
        status, headers, answer = server.ask("PUT", f"/{path}", "{}")
        assert (status, headers["allow"]) == (405, allowed) and json.loads(answer)["error"]
    assert server.json("GET", "/nowhere")[0] == 404
    assert server.json("POST", "/v2/repository/models/..%2fx/load", {})[0] == 404
    status, told = server.json(
        "POST", "/v2/repository/models/simple/load", {"parameters": {"file:1/model.onnx": "AAAA"}}
    )
    assert status == 400 and "not taken from a request" in told["error"]


def test_the_openapi_document_is_one_and_names_every_method_of_its_paths(server: Served) -> None:
    status, document = server.json("GET", "/openapi.json")
    assert status == 200 and document["openapi"] == "3.1.0"
    for path, methods in document["paths"].items():
        place = path.replace("{model}", "simple").replace("{region}", "mine")
        for method in ("get", "put", "delete", "trace"):
            if method not in methods:
                status, _, answer = server.ask(method.upper(), place)
                assert status == 405 and json.loads(answer)["error"], (method, path)
    for schema in document["components"]["schemas"].values():
        Draft202012Validator.check_schema(schema)


def test_raw_inputs_that_are_none(server: Served) -> None:
    for body, kind, wanted in (
        (b"", "image/png", 400),
        (b"no picture", "image/png", 400),
        (picture((0, 0, 0))[:60], "image/png", 400),
        (b"x", "audio/wav", 415),
        (b"{}", "application/json", 400),
        (b"--x--", "multipart/form-data; boundary=x", 400),
    ):
        status, _, answer = server.ask("POST", "/v2/models/colours/predict", body, {"Content-Type": kind})
        assert status == wanted and json.loads(answer)["error"]
    for query in ("labels=/etc/passwd", "max_pixels=99999999999", "nothing=1", "top=many"):
        status, _, answer = server.ask("POST", f"/v2/models/colours/predict?{query}", picture((0, 0, 0)))
        assert status == 400 and json.loads(answer)["error"]
