"""Answers that come in parts, and inputs that do: events, completions as OpenAI's clients ask for them, sessions."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from served import Served, serving

import torchport
from torchport.predict import Predictor
from torchport.testing import samples

pytestmark = pytest.mark.slow

PROMPT = "one two three"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The Bundles writer (text generation) and finder (object detection)."""
    folder = tmp_path_factory.mktemp("streams")
    for name, task in (("writer", "text-generation"), ("finder", "object-detection")):
        (folder / task).mkdir()
        one = samples.sample_of(task, folder / task)
        torchport.deploy(
            one.source,
            folder / f"{name}.tport",
            task=task,
            data=one.data,
            settings=one.settings,
            targets=["onnx"],
            golden=1,
        )
    return folder


@pytest.fixture(scope="module")
def server(folder: Path) -> Iterator[Served]:
    with serving(folder / "writer.tport", folder / "finder.tport") as served:
        yield served


def events(body: bytes) -> list[Any]:
    """What a stream of events holds: documents, or the text of what is none."""
    lines = [line.removeprefix(b"data: ") for line in body.split(b"\n") if line.startswith(b"data: ")]
    return [json.loads(line) if line.startswith(b"{") else line.decode() for line in lines]


def test_a_text_comes_as_it_grows(server: Served, folder: Path) -> None:
    with Predictor(folder / "writer.tport") as predictor:
        wanted = predictor.predict(PROMPT.encode())
    asked = {"Content-Type": "text/plain", "Accept": "text/event-stream"}
    status, headers, body = server.ask("POST", "/v2/models/writer/predict", PROMPT, asked)
    *parts, last = events(body)
    assert status == 200 and headers["content-type"] == "text/event-stream"
    assert "".join(one["delta"] for one in parts) == wanted["text"] and last == {"ok": True, **wanted}


def test_completions_as_openais_clients_ask(server: Served, folder: Path) -> None:
    assert [one["id"] for one in server.json("GET", "/v1/models")[1]["data"]] == ["writer"]
    with Predictor(folder / "writer.tport", overrides={"max_new_tokens": 3, "temperature": 0}) as predictor:
        wanted = predictor.predict(PROMPT.encode())["text"]
    asked = {"model": "writer", "prompt": PROMPT, "max_tokens": 3, "temperature": 0}
    status, told = server.json("POST", "/v1/completions", asked)
    assert status == 200 and told["object"] == "text_completion" and told["id"].startswith("cmpl-")
    (choice,) = told["choices"]
    assert choice["text"] == wanted and choice["finish_reason"] in ("stop", "length")
    status, told = server.json("POST", "/v1/completions", {**asked, "prompt": [PROMPT, PROMPT], "echo": True})
    assert [one["text"] for one in told["choices"]] == [PROMPT + wanted] * 2
    _, _, body = server.ask("POST", "/v1/completions", json.dumps({**asked, "stream": True}))
    *parts, end = events(body)
    assert end == "[DONE]" and "".join(one["choices"][0]["text"] for one in parts) == wanted


@pytest.mark.parametrize(
    "change",
    [{"model": "finder"}, {"prompt": 3}, {"max_tokens": -1}, {"max_tokens": 10**9}, {"n": 5}, {"temperature": "hot"}],
    ids=str,
)
def test_completions_that_are_refused_say_why_in_openais_form(server: Served, change: dict[str, Any]) -> None:
    asked = {"model": "writer", "prompt": PROMPT, "max_tokens": 3, **change}
    status, told = server.json("POST", "/v1/completions", asked)
    assert 400 <= status < 500 and told["error"]["message"] and told["error"]["type"] == "invalid_request_error"


SESSION = """
([address, pieces]) => new Promise((resolve, reject) => {
  const socket = new WebSocket(address), heard = [];
  socket.onopen = () => pieces.forEach((one) => socket.send(typeof one === "string" ? one : new Uint8Array(one)));
  socket.onmessage = (message) => heard.push(JSON.parse(message.data));
  socket.onclose = () => resolve(heard);
  socket.onerror = () => reject(new Error("the socket failed"));
  setTimeout(() => reject(new Error(JSON.stringify(heard))), 20000);
})
"""


def test_frames_are_answered_one_by_one(server: Served, folder: Path) -> None:
    sync = pytest.importorskip("playwright.sync_api", reason="needs playwright")
    chromium = shutil.which("chromium")
    if chromium is None:
        pytest.skip("needs chromium: scripts/system-packages")
    picture = next(iter((folder / "object-detection").rglob("*.png"))).read_bytes()
    with Predictor(folder / "finder.tport") as predictor:
        wanted = predictor.predict(picture)
    with sync.sync_playwright() as play:
        browser = play.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        page = browser.new_page()
        page.goto(f"http://127.0.0.1:{server.port}/docs")
        address = f"ws://127.0.0.1:{server.port}/v2/models/finder/session"
        heard = page.evaluate(SESSION, [address, [list(picture), list(b"none"), "what", list(picture), "finish"]])
        assert heard[0] == heard[3] == heard[4] == wanted
        assert "error" in heard[1] and "finish" in heard[2]["error"]
        refused = page.evaluate(SESSION, [address.replace("finder", "writer"), ["finish"]])
        assert len(refused) == 1 and "error" in refused[0]
        browser.close()
