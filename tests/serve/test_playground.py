"""The playground in a real browser, as a person uses it."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from served import Served, picture

sync = pytest.importorskip("playwright.sync_api", reason="needs playwright")
CHROMIUM = shutil.which("chromium")
pytestmark = [pytest.mark.slow, pytest.mark.skipif(CHROMIUM is None, reason="needs chromium: scripts/system-packages")]


@pytest.fixture(scope="module")
def page(server: Served) -> Iterator[Any]:
    """A page of the server; nothing it loads comes from elsewhere, and no script of it fails."""
    with sync.sync_playwright() as play:
        browser = play.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        page = browser.new_page(locale="en-GB")
        asked, failed = [], []
        page.on("request", lambda request: asked.append(request.url))
        page.on("pageerror", lambda error: failed.append(str(error)))
        page.on(
            "console",
            lambda said: failed.append(said.text) if said.type == "error" and "400" not in said.text else None,
        )
        page.goto(f"http://127.0.0.1:{server.port}/")
        yield page
        assert all(url.startswith((f"http://127.0.0.1:{server.port}/", "blob:", "data:")) for url in asked), asked
        assert not failed
        browser.close()


def test_a_picture_is_answered_with_labels_and_where_the_time_went(page: Any, tmp_path: Path) -> None:
    (tmp_path / "green.png").write_bytes(picture((0, 250, 0)))
    page.select_option("#model", "colours")
    page.wait_for_selector("#drop:visible")
    page.set_input_files("#file", tmp_path / "green.png")
    page.fill("#facts input[name=top]", "2")
    page.keyboard.press("Control+Enter")
    page.wait_for_selector("#answer dl")
    assert page.locator("#answer dt").all_inner_texts()[0] == "green"
    assert page.locator("#answer dt").count() == 2
    assert "ms" in page.inner_text("#timing")
    assert "colours" in page.inner_text("#snippet") and "FP32" in page.inner_text("#signature")


def test_a_wrong_input_is_told_in_words(page: Any, tmp_path: Path) -> None:
    (tmp_path / "not.png").write_bytes(b"no picture")
    page.select_option("#model", "colours")
    page.set_input_files("#file", tmp_path / "not.png")
    with page.expect_response("**/predict**") as reply:
        page.click("#go")
    assert reply.value.status == 400
    page.wait_for_selector("#answer [role=alert]")
    assert "picture" in page.inner_text("#answer")


def test_it_speaks_chinese_and_shows_each_clients_program(page: Any) -> None:
    page.click("#language")
    page.wait_for_function("document.documentElement.lang === 'zh-CN'")
    assert page.inner_text("#input-title") == "输入" and page.inner_text("#go") == "推理"
    page.click("#language")
    for name in ("Python", "JavaScript", "Java", "Go"):
        page.get_by_role("tab", name=name, exact=True).click()
        assert "/v2/models/colours/predict" in page.inner_text("#snippet")


def test_the_api_page_lists_every_path(page: Any, server: Served) -> None:
    page.goto(f"http://127.0.0.1:{server.port}/docs")
    page.wait_for_selector("h2")
    assert "/v2/models/{model}/infer" in page.locator("h2").all_inner_texts()
    page.goto(f"http://127.0.0.1:{server.port}/")
