"""Who may ask, and how much: keys, limits of a client, certificates, the access log."""

from __future__ import annotations

import json
import shutil
import ssl
import subprocess
import time
import urllib.error
import urllib.request
from pathlib import Path

import grpc
import pytest
from served import serving

from torchport.serve.guard import Guard
from torchport.serve.messages import Refused
from torchport.serve.protocol import SERVICE, message


def live(channel: grpc.Channel, key: str | None = None) -> bool:
    """Whether the server says by gRPC that it lives."""
    request, response = message("ServerLiveRequest"), message("ServerLiveResponse")
    call = channel.unary_unary(f"/{SERVICE}/ServerLive", request.SerializeToString, response.FromString)
    found: bool = call(request(), timeout=20, metadata=(("authorization", f"Bearer {key}"),) if key else ()).live
    return found


def test_keys_and_limits_and_the_access_log(bundles: Path) -> None:
    words = ("--api-key", "first", "--api-key", "second", "--client-rate", "4", "--access-log")
    with serving(bundles / "simple.tport", *words) as served:
        assert served.ask("GET", "/v2/health/ready")[0] == 200
        for headers in ({}, {"X-Api-Key": "third"}, {"Authorization": "Bearer firs"}):
            status, answered, body = served.ask("GET", "/v2/models", None, headers)
            assert status == 401 and answered["www-authenticate"] == "Bearer" and b"error" in body
        assert served.ask("GET", "/v2/models", None, {"Authorization": "Bearer second"})[0] == 200
        with grpc.insecure_channel(f"127.0.0.1:{served.grpc_port}") as channel:
            assert live(channel, "first")
            with pytest.raises(grpc.RpcError) as refused:
                live(channel)
            assert refused.value.code() is grpc.StatusCode.UNAUTHENTICATED
        time.sleep(1)  # four more may come
        statuses = [served.ask("GET", "/v2/models", None, {"X-Api-Key": "first"})[0] for _ in range(30)]
        assert set(statuses) == {200, 429}
    lines = [json.loads(line) for line in served.log.read_text().splitlines() if line.startswith("{")]
    assert {line["status"] for line in lines} >= {200, 401, 429}
    assert {"time", "client", "method", "path", "ms", "bytes"} <= set(lines[0])


def test_a_client_that_waits_may_ask_again() -> None:
    guard = Guard(rate=1000, concurrent=2)
    guard.enter("one")
    guard.enter("one")
    with pytest.raises(Refused, match="under way"):
        guard.enter("one")
    guard.enter("another")
    guard.leave("one")
    guard.enter("one")


@pytest.mark.skipif(shutil.which("openssl") is None, reason="needs openssl")
def test_mutual_tls(bundles: Path, tmp_path: Path) -> None:
    def openssl(*words: str) -> None:
        subprocess.run(["openssl", *words], cwd=tmp_path, check=True, capture_output=True)

    key = (
        "-newkey",
        "ec",
        "-pkeyopt",
        "ec_paramgen_curve:prime256v1",
        "-nodes",
        "-subj",
        "/CN=torchport",
        "-days",
        "2",
    )
    names = ("-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1")
    openssl("req", "-x509", *key, "-keyout", "server.key", "-out", "server.pem", *names)
    openssl("req", "-x509", *key, "-keyout", "authority.key", "-out", "authority.pem")
    openssl("req", *key[:-2], "-keyout", "client.key", "-out", "client.csr")
    (tmp_path / "of_client").write_text("basicConstraints=CA:FALSE\n")
    signed = ("-CA", "authority.pem", "-CAkey", "authority.key", "-CAcreateserial", "-extfile", "of_client")
    openssl("x509", "-req", "-in", "client.csr", *signed, "-days", "2", "-out", "client.pem")
    files = {name: tmp_path / name for name in ("server.pem", "server.key", "client.pem", "client.key")}
    words = (
        "--tls-cert",
        files["server.pem"],
        "--tls-key",
        files["server.key"],
        "--tls-ca",
        tmp_path / "authority.pem",
    )
    with serving(bundles / "simple.tport", *words, ready=False) as served:
        known = ssl.create_default_context(cafile=str(files["server.pem"]))
        known.load_cert_chain(files["client.pem"], files["client.key"])
        stranger = ssl.create_default_context(cafile=str(files["server.pem"]))
        address = f"https://localhost:{served.port}/v2/health/live"
        answer = None
        for _ in range(200):
            try:
                answer = urllib.request.urlopen(address, context=known, timeout=10).status
                break
            except urllib.error.URLError:
                time.sleep(0.05)
        assert answer == 200
        with pytest.raises((urllib.error.URLError, OSError)):
            urllib.request.urlopen(address, context=stranger, timeout=10)
        credentials = grpc.ssl_channel_credentials(
            *(files[name].read_bytes() for name in ("server.pem", "client.key", "client.pem"))
        )
        with grpc.secure_channel(f"localhost:{served.grpc_port}", credentials) as channel:
            assert live(channel)


def test_a_certificate_without_its_key_is_refused(bundles: Path) -> None:
    import sys

    command = [sys.executable, "-m", "torchport", "serve", "simple.tport", "--tls-cert", "x.pem"]
    ran = subprocess.run(command, cwd=bundles, capture_output=True, text=True, timeout=60)
    assert ran.returncode == 2 and "--tls-key" in ran.stderr
