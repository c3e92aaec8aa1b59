"""The page: one HTML file that opens anywhere, years later, with no network."""

from __future__ import annotations

from importlib import resources
from pathlib import Path

from ..system.disk import write_file
from . import charts, items, tables, verdict
from .data import ReportData
from .markup import Html, el, join
from .phrases import Say, speaker

# The browser itself refuses whatever would leave the file.
_POLICY = "default-src 'none'; img-src data:; style-src 'unsafe-inline'; script-src 'unsafe-inline'"


def render(data: ReportData, language: str = "en") -> str:
    """The report as one self-contained HTML document.

    Raises:
        UsageError: no such language.
    """
    say = speaker(language)
    head = [
        el("meta", charset="utf-8"),
        el("meta", http_equiv="Content-Security-Policy", content=_POLICY),
        el("meta", name="viewport", content="width=device-width, initial-scale=1"),
        el("meta", name="color-scheme", content="light dark"),
        el("title", f"{data.title} \N{MIDDLE DOT} {say('report')}"),
        el("style", _part("report.css")),
    ]
    sections = [
        verdict.verdict(data, say),
        verdict.rests(data, say),
        tables.candidates(data, say),
        _scatter(data, say),
        _bars(data, say),
        items.items(data, say),
        tables.parity(data, say),
        tables.facts(data, say),
        tables.skipped(data, say),
        tables.environment(data, say),
    ]
    body = el("body", el("main", *sections), el("script", _part("report.js")))
    return "<!doctype html>\n" + el("html", el("head", *head), body, lang=say("language")) + "\n"


def write(path: Path, data: ReportData, language: str = "en") -> None:
    """Write the report; a file that was there is replaced as a whole or not at all.

    Raises:
        OutputError: the file cannot be written.
    """
    write_file(path, render(data, language).encode())


def _scatter(data: ReportData, say: Say) -> Html | None:
    chart = charts.scatter(data.choice, data.reference, say)
    if chart is None:
        return None
    return el(
        "section", el("h2", say("scatter")), el("p", say("scatter_about"), class_="quiet"), chart, charts.legend(say)
    )


def _bars(data: ReportData, say: Say) -> Html | None:
    chart = charts.bars(data.choice.candidates, data.reference, say)
    if chart is None:
        return None
    return el(
        "section",
        el("h2", say("bars")),
        el("p", say("bars_about"), class_="quiet"),
        join([chart, tables.threads(data, say)]),
    )


def _part(name: str) -> Html:
    """A file of this package that goes into the page as it is."""
    return Html((resources.files(__package__) / name).read_text("utf-8"))
