"""Inference requests whose JSON or whose bytes were changed."""

from __future__ import annotations

import struct
from random import Random

from valid import MODELS, Hostile, changed, http, valid, written


def by_structure(random: Random) -> Hostile:
    """A request with other values, fewer or more."""
    model, document = valid(random)
    changed(random, document)
    return Hostile("structure", http(f"/v2/models/{model}/infer", written(document)))


def by_bytes(random: Random) -> Hostile:
    """A body with bytes flipped, cut, doubled or put in."""
    model, document = valid(random)
    body = bytearray(written(document))
    for _ in range(random.choice((1, 1, 2, 8))):
        place = random.randrange(len(body) + 1)
        match random.randrange(5):
            case 0 if place < len(body):
                body[place] = random.randrange(256)
            case 1:
                del body[place:]
            case 2:
                body[place:place] = random.choice(
                    (b"\xff", b"\0", b"NaN", b"Infinity", b"[" * 99, b'"', b"\\u", b"-", b"1e999")
                )
            case 3:
                body[place:place] = body[place : place + random.randrange(40)]
            case _:
                del body[place : place + random.randrange(1, 20)]
    return Hostile("bytes", http(f"/v2/models/{model}/infer", bytes(body)))


def by_depth(random: Random) -> Hostile:
    """Brackets, long numbers, very many keys."""
    n = random.choice((50, 1000, 30_000))
    body = random.choice(
        (
            b"[" * n,
            b'{"inputs":' * n,
            b'{"inputs":' + b"[" * n + b"]" * n + b"}",
            b'{"inputs":[{"name":"' + b"x" * n + b'"}]}',
            b'{"inputs":[' + b"{}," * n + b"{}]}",
            b"{" + b",".join(b'"k%d":1' % i for i in range(n)) + b"}",
            b"9" * n,
            b'{"inputs":[{"name":"INPUT0","datatype":"INT32","shape":[' + b"1," * n + b'1],"data":[1]}]}',
            b'{"inputs":[{"name":"INPUT0","datatype":"INT32","shape":[1,16],"data":'
            + b"[" * n
            + b"1"
            + b"]" * n
            + b"}]}",
            b'{"inputs":[],"inputs":[],"outputs":[' + b'{"name":"OUTPUT0"},' * n + b'{"name":"x"}]}',
            b" " * n,
        )
    )
    return Hostile("depth", http("/v2/models/simple/infer", body))


def by_shape(random: Random) -> Hostile:
    """Sizes beyond any memory, negative, too many, none."""
    model, document = valid(random)
    sizes = (0, 1, -1, 2, 16, 1 << 20, 1 << 31, (1 << 31) - 1, 1 << 62, 1 << 63, 1 << 64, 10**30)
    for one in document["inputs"]:
        if random.random() < 0.7:
            one["shape"] = [random.choice(sizes) for _ in range(random.choice((0, 1, 2, 2, 4, 33, 2000)))]
    return Hostile("shape", http(f"/v2/models/{model}/infer", written(document)))


NUMBERS = ("0", "-1", "1", "99999999999999999999", "0x10", "1e3", " 5", "5 ", "", "\uff11", "NaN", "+4")


def by_binary(random: Random) -> Hostile:
    """Binary tensors whose lengths lie."""
    size, other = (
        random.choice((64, 64, 63, 65, 0, 1 << 40, -1)),
        random.choice((64, 64, 0, 128, "64", 0.5, None, True)),
    )
    kind = random.choice(("INT32", "INT32", "FP16", "BF16", "BYTES", "BOOL", "FP64"))
    inputs = [
        {
            "name": f"INPUT{i}",
            "datatype": kind if i else "INT32",
            "shape": [1, 16],
            "parameters": {"binary_data_size": one},
        }
        for i, one in enumerate((size, other))
    ]
    parameters = {"binary_data_output": random.choice((True, False, "yes", None, 1))}
    head = written({"inputs": inputs, "parameters": parameters})
    tail = random.randbytes(random.choice((0, 64, 127, 128, 129, 300)))
    length = random.choice(
        (str(len(head)), str(len(head)), str(len(head) + random.randrange(-3, 4)), random.choice(NUMBERS))
    )
    return Hostile(
        "binary", http("/v2/models/simple/infer", head + tail, (("Inference-Header-Content-Length", length),))
    )


def by_elements(random: Random) -> Hostile:
    """A BYTES tensor whose elements are longer than it is."""
    content = b"".join(
        struct.pack("<I", random.choice((0, 1, 5, 1 << 31, (1 << 32) - 1))) + random.randbytes(random.randrange(6))
        for _ in range(random.randrange(5))
    )
    shape = random.choice(([1], [0], [-1], [2, 2], [1 << 30], [1, 1, 1]))
    one = {"name": "raw", "datatype": "BYTES", "shape": shape, "parameters": {"binary_data_size": len(content)}}
    head = written({"inputs": [one]})
    headers = (("Inference-Header-Content-Length", str(len(head))),)
    return Hostile("elements", http(f"/v2/models/{random.choice(MODELS)}/infer", head + content, headers))
