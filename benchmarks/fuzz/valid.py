"""Requests that are answered, and what changes them."""

from __future__ import annotations

import json
from random import Random
from typing import Any, NamedTuple

MODELS = ("simple", "identity", "colours", "colours-raw", "simple-raw")


class Hostile(NamedTuple):
    """One request.

    Attributes:
        family: what was done to it.
        sent: what goes over the connection as it is.
        loose: the HTTP library may refuse it itself: its words need not be JSON, and it may just hang up.
    """

    family: str
    sent: bytes
    loose: bool = False


def tensor(name: str, datatype: str, shape: list[int], data: Any) -> dict[str, Any]:
    """An input as JSON has it."""
    return {"name": name, "datatype": datatype, "shape": shape, "data": data}


def valid(random: Random) -> tuple[str, dict[str, Any]]:
    """A model, and a request that it answers."""
    batch = random.choice((1, 1, 2, 5))
    match random.randrange(4):
        case 0:
            row = [random.randrange(-100, 100) for _ in range(16 * batch)]
            return "simple", {"inputs": [tensor(f"INPUT{i}", "INT32", [batch, 16], row) for i in (0, 1)]}
        case 1:
            n = random.choice((1, 3))
            kinds = {"fp32": ("FP32", 1.5), "int64": ("INT64", 7), "uint8": ("UINT8", 3), "flag": ("BOOL", True)}
            inputs = [tensor(name, kind, [batch, n], [one] * (batch * n)) for name, (kind, one) in kinds.items()]
            return "identity", {"inputs": inputs, "id": "7", "outputs": [{"name": "o_fp32"}]}
        case 2:
            inputs = [tensor("pixels", "FP32", [1, 3, 16, 16], [0.5] * 768)]
            outputs = [{"name": "output_0", "parameters": {"classification": 2}}]
            return "colours", {"inputs": inputs, "outputs": outputs, "parameters": {"priority": 1}}
    return "colours-raw", {"inputs": [tensor("raw", "BYTES", [1], ["no picture"])]}


def http(
    path: str, body: bytes = b"", headers: tuple[tuple[str, str], ...] = (), method: str = "POST", length: str = ""
) -> bytes:
    """A request as it goes over the connection."""
    lines = [f"{method} {path} HTTP/1.1", "Host: x", f"Content-Length: {length or len(body)}"]
    lines += [f"{name}: {value}" for name, value in headers]
    return "\r\n".join(lines).encode("utf-8", "surrogateescape") + b"\r\n\r\n" + body


def strange(random: Random) -> Any:
    """A value that is seldom expected."""
    return random.choice(
        (
            None,
            True,
            False,
            -1,
            0,
            1,
            0.5,
            -0.0,
            1e308,
            1 << 31,
            1 << 53,
            1 << 63,
            1 << 64,
            -(1 << 63),
            10**40,
            "",
            "x",
            "\0",
            "\ud800",
            "é" * 50,
            "x" * 5000,
            "../../etc/passwd",
            "%s%n",
            [],
            {},
            [[]],
            [None],
            [1, [2]],
            {"a": {"b": []}},
            "FP16",
            "BF16",
            "FP32",
            "BYTES",
            "INT64",
            "NaN",
            [0] * 300,
            "shared_memory_region",
        )
    )


def places(node: Any, found: list[tuple[Any, Any]]) -> list[tuple[Any, Any]]:
    """Every container of a document with a key or index of it, long lists sampled by their first elements."""
    if isinstance(node, dict):
        for key in node:
            found.append((node, key))
            places(node[key], found)
    elif isinstance(node, list):
        for index in range(min(len(node), 3)):
            found.append((node, index))
            places(node[index], found)
    return found


def changed(random: Random, document: Any) -> None:
    """Change a document at one to three places."""
    for _ in range(random.choice((1, 1, 2, 3))):
        known = places(document, [])
        if not known:
            return
        container, key = random.choice(known)
        match random.randrange(5):
            case 0 | 1:
                container[key] = strange(random)
            case 2:
                del container[key]
            case 3 if isinstance(container, dict):
                container[random.choice(("parameters", "data", "shape", "x", "id", "outputs"))] = strange(random)
            case _ if isinstance(container, list):
                container += [container[key]] * random.choice((1, 2, 50))


def written(document: Any) -> bytes:
    """A document as JSON, lone surrogates and all."""
    return json.dumps(document).encode()
