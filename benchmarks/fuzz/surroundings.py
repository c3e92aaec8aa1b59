"""Everything around tensors: paths, encodings, pictures, forms, settings, heads of HTTP, and bytes that are none."""

from __future__ import annotations

import base64
import gzip
import struct
import zlib
from random import Random

from valid import Hostile, changed, http, valid, written

WORDS = (
    "v2",
    "models",
    "simple",
    "colours",
    "versions",
    "1",
    "infer",
    "predict",
    "ready",
    "stats",
    "config",
    "..",
    ".",
    "",
    "%2e%2e",
    "..%2f..%2fetc%2fpasswd",
    "%00",
    "%ff%fe",
    "%",
    "%zz",
    "repository",
    "index",
    "load",
    "trace",
    "setting",
    "logging",
    "systemsharedmemory",
    "cudasharedmemory",
    "region",
    "x",
    "status",
    "register",
    "a" * 300,
    "~",
    ";",
    "*",
    "playground",
    "docs",
    "metrics",
    "openapi.json",
    "health",
    "live",
    "%5c..%5c",
    "1%2f..",
    "%c0%ae%c0%ae",
)


def by_path(random: Random) -> Hostile:
    """Paths and methods that there are not."""
    path = "/".join(random.choice(WORDS) for _ in range(random.randrange(1, 8)))
    if "unload" in path or ("load" in path and "models" in path):
        path = path.replace("simple", "nobody").replace("colours", "nobody")
    path += random.choice(("", "", "/", "?top=1", "?" + "a=1&" * 200, "?labels=/etc/passwd", "?%ff=%fe"))
    method = random.choice(("GET", "POST", "PUT", "DELETE", "PATCH", "OPTIONS", "TRACE", "BREW"))
    return Hostile("path", http(f"/{path}", b"" if random.random() < 0.7 else b"{}", method=method))


BOMB = gzip.compress(bytes(64 << 20), 9)
DEFLATED = zlib.compress(bytes(64 << 20), 9)


def by_encoding(random: Random) -> Hostile:
    """Bodies that are not as their encoding says, and bombs."""
    model, document = valid(random)
    body = written(document)
    encoding = random.choice(("gzip", "deflate", "br", "zstd", "gzip, gzip", "x" * 300, "GZIP", "identity", "*"))
    squeezed = gzip.compress(body, 1)
    if random.random() < 0.02:
        squeezed, body = BOMB, DEFLATED
    sent = random.choice(
        (squeezed, squeezed[:-3], squeezed + b"junk", zlib.compress(body)[:-1], body, b"", gzip.compress(squeezed, 1))
    )
    accept = random.choice(("gzip", "*", "br;q=1", "x" * 2000, "gzip;q=0", ""))
    headers = (("Content-Encoding", encoding), ("Accept-Encoding", accept))
    return Hostile("encoding", http(f"/v2/models/{model}/infer", sent, headers))


def part(kind: bytes, content: bytes) -> bytes:
    """A chunk of a PNG."""
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))


def png(width: int, height: int, rows: bytes, depth: int = 8, colour: int = 2) -> bytes:
    """A PNG that claims a size and holds these bytes."""
    head = struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + part(b"IHDR", head) + part(b"IDAT", zlib.compress(rows)) + part(b"IEND", b"")


SMALL = png(8, 8, b"\0" * (8 * 25))
PICTURES = (
    png(60_000, 60_000, b""),
    png(60_000, 60_000, bytes(1 << 22)),
    png(16_000, 16_000, bytes(1 << 16)),
    png(0, 0, b""),
    png(1, 1 << 30, b"\0"),
    SMALL,
    b"GIF89a\xff\xff\xff\xff\x80\0\0" + bytes(30),
    b"\xff\xd8\xff\xc0\x00\x11\x08\xea\x60\xea\x60\x03\x01\x11\0\x02\x11\x01\x03\x11\x01",
    b"RIFF\xff\xff\xff\xffWEBPVP8L" + bytes(20),
    b"II*\0\x08\0\0\0\xff\xff" + bytes(60),
    b"BM" + struct.pack("<IIIIiiHHIIiiII", 54, 0, 54, 40, 60_000, 60_000, 1, 24, 0, 0, 0, 0, 0, 0),
    b"\0\0\0\x18ftypheic" + bytes(40),
    b"%PDF-1.4 ",
    b"P6 60000 60000 255\n",
    b"<svg xmlns='http://www.w3.org/2000/svg' width='60000' height='60000'/>",
    b"PK\x03\x04" + bytes(30),
)


def by_picture(random: Random) -> Hostile:
    """Pictures that claim more than there is, damaged ones, and what is none."""
    content = random.choice(PICTURES)
    if random.random() < 0.5:
        place = random.randrange(len(content))
        content = content[:place] + random.randbytes(random.choice((0, 1, 4))) + content[place + random.randrange(3) :]
    kind = random.choice(
        ("image/png", "image/jpeg", "application/octet-stream", "audio/wav", "text/plain", "", "image/" + "x" * 200)
    )
    accept = random.choice(("", "", "text/event-stream", "image/png", "audio/wav"))
    query = random.choice(("", "", "?top=1", "?top=-1", "?top=1e9", "?max_pixels=99999999999", "?x=1"))
    headers = (("Content-Type", kind), ("Accept", accept))
    return Hostile("picture", http(f"/v2/models/colours/predict{query}", content, headers))


def by_form(random: Random) -> Hostile:
    """Forms and JSON around one input."""
    text = base64.b64encode(random.choice(PICTURES[2:]))
    bodies = (
        (b'{"b64": "' + text + b'"}', "application/json"),
        (b'{"b64": "' + text[:-1] + b'"}', "application/json"),
        (b'{"text": "x"}', "application/json"),
        (b'{"b64": 7}', "application/json"),
        (b"[" * 5000, "application/json"),
        (b"--x\r\n\r\n\r\n--x--", "multipart/form-data; boundary=x"),
        (
            b"--x\r\nContent-Disposition: form-data; name=a; filename=../../x\r\n\r\n" + SMALL + b"\r\n--x--\r\n",
            "multipart/form-data; boundary=x",
        ),
        (b"--x\r\n" * 2000, "multipart/form-data; boundary=x"),
        (b"--", "multipart/form-data"),
        (b"a", "multipart/form-data; boundary=" + "y" * 3000),
        (b"--x\r\nContent-Type: multipart/mixed; boundary=x\r\n\r\n" * 300, "multipart/form-data; boundary=x"),
        (
            b"--x\r\nContent-Transfer-Encoding: base64\r\nContent-Disposition: form-data; name=a\r\n\r\n!!!\r\n--x--",
            "multipart/form-data; boundary=x",
        ),
    )
    body, kind = random.choice(bodies)
    return Hostile("form", http("/v2/models/colours/predict", body, (("Content-Type", kind),)))


def by_settings(random: Random) -> Hostile:
    """The protocol's other methods with bodies that they do not take."""
    path, document = random.choice(
        (
            ("repository/index", {"ready": True}),
            ("repository/models/nobody/load", {"parameters": {"config": "{}"}}),
            ("logging", {"log_file": "/etc/x"}),
            ("repository/models/simple/load", {"parameters": {"file:1/../../x": "AAAA"}}),
            ("trace/setting", {"trace_level": ["OFF"]}),
            ("logging", {"log_error": True, "log_verbose_level": 0}),
            ("models/simple/trace/setting", {"trace_rate": "1"}),
            ("systemsharedmemory/region/x/register", {"key": "/../../etc/passwd", "offset": 0, "byte_size": 8}),
            ("systemsharedmemory/region/x/unregister", {}),
            ("cudasharedmemory/region/x/register", {"raw_handle": {"b64": "AAAA"}, "device_id": 0, "byte_size": 8}),
            ("repository/models/..%2fx/unload", {}),
        )
    )
    if "simple/load" not in path:
        changed(random, document)
    return Hostile("settings", http(f"/v2/{path}", written(document)))


def by_headers(random: Random) -> Hostile:
    """Heads of HTTP that lie or are none."""
    body = written(valid(random)[1])
    path = "/v2/models/simple/infer"
    head = f"POST {path} HTTP/1.1\r\nHost: x\r\n".encode()
    n = len(body)
    sent = random.choice(
        (
            http(path, body, length="-1"),
            http(path, body, length=str(1 << 40)),
            http(path, body, length="x"),
            http(path, body, (("Content-Length", "7"),)),
            head + b"Transfer-Encoding: chunked\r\n\r\n" + b"zz\r\n" + body,
            head + b"Transfer-Encoding: chunked\r\n\r\n%x\r\n" % n + body + b"\r\n0\r\n\r\n",
            head + b"Transfer-Encoding: chunked\r\nContent-Length: 4\r\n\r\n0\r\n\r\n",
            head + b"Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
            head + b"Transfer-Encoding: chunked\r\n\r\nffffffffffffffffff\r\n",
            http(path, body, (("X", "y" * 100_000),)),
            http(path, body, (("X", "y"),) * 300),
            http(path, body, (("Expect", "100-continue"),)),
            http("/" + "a" * 70_000),
            head + b" folded: x\r\nContent-Length: 0\r\n\r\n",
            head + b"No colon\r\n\r\n",
            head + b"A\0B: x\r\n\r\n",
            b"GET /v2 HTTP/9.9\r\nHost: x\r\n\r\n",
            b"GET /v2\r\n\r\n",
            b"GET http://elsewhere/v2 HTTP/1.1\r\nHost: x\r\n\r\n",
            http(path, body, (("Content-Type", "\udcff\udcfe"),)),
            http(path, body, (("Upgrade", "websocket"), ("Connection", "Upgrade"))),
            http(path, body, (("Connection", "close"), ("Host", "y"))),
            http("*", method="OPTIONS"),
            http("x:443", method="CONNECT"),
        )
    )
    return Hostile("headers", sent, loose=True)


def by_junk(random: Random) -> Hostile:
    """Bytes that are no HTTP."""
    sent = random.choice(
        (
            random.randbytes(random.randrange(1, 400)),
            b"\x16\x03\x01\x02\0\x01\0\x01\xfc\x03\x03" + random.randbytes(80),
            b"\n\nGET\n\n",
            b"GET " * 200,
            b"\0" * 500,
        )
    )
    return Hostile("junk", sent + b"\r\n\r\n", loose=True)
