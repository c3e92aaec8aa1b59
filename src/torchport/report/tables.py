"""The tables: candidates, threads, parity, environment, what was skipped."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from ..errors import plain
from ..figures import DASH, decibels, interval, milliseconds, number, percent, relative, size
from ..types import Candidate, OutputParity, Timing
from .data import ReportData
from .markup import Child, Html, el, join
from .phrases import Say

Cell = tuple[Child, float | str | None]
"""What a cell shows, and the value it sorts by."""


def candidates(data: ReportData, say: Say) -> Html:
    """One row a candidate, sortable, with the reference below."""
    heads = ["status", "variant", "size", "latency", "memory", "accuracy", "parity", "why"]
    rows = [_row(_cells(c, data, say), class_=c.status) for c in sorted(data.choice.candidates, key=lambda c: c.place)]
    about = el("p", say("candidates_about"), class_="quiet")
    return el(
        "section",
        el("h2", say("candidates")),
        about,
        _table([say(h) for h in heads], rows, foot=_reference(data, say), sort=say),
    )


def threads(data: ReportData, say: Say) -> Html | None:
    """Every thread count that was timed, where more than one was: one row a candidate, one column a count."""
    timed = [c for c in data.choice.candidates if len(c.by_threads) > 1]
    if not timed:
        return None
    counts = sorted({count for c in timed for count in c.by_threads}, key=lambda count: (len(count), count))
    rows = [_row([(c.id, c.id), *(_thread_cell(c.by_threads.get(count), say) for count in counts)]) for c in timed]
    return join(
        [
            el("h3", say("by_threads")),
            _table([say("variant"), *(say("threads_of", threads=count) for count in counts)], rows),
        ]
    )


def parity(data: ReportData, say: Say) -> Html | None:
    """Every compared output of every candidate, and the checks beside them."""
    heads = [say(h) for h in ("variant", "stage", "output", "max_rel", "tolerance", "snr", "items", "verdict")]
    groups = [(c.id, c.parity) for c in data.choice.candidates if c.parity is not None] + list(data.stages.items())
    rows = []
    for name, verdict in groups:
        rows += [_row(_parity_cells(name, one, say), class_=None if one.ok else "failed") for one in verdict.outputs]
        if verdict.reason:
            rows.append(
                el(
                    "tr",
                    el("td", name),
                    el("td", verdict.stage or ""),
                    el("td", plain(verdict.reason), colspan=6),
                    class_="failed",
                )
            )
    if not rows:
        return None
    return el(
        "section", el("h2", say("parity_title")), el("p", say("parity_about"), class_="quiet"), _table(heads, rows)
    )


def facts(data: ReportData, say: Say) -> Html:
    """The facts of the task, and which of them were assumed."""
    guess = el("p", say("facts_assumed", names=", ".join(data.assumed)), class_="warn") if data.assumed else None
    return el("section", el("h2", say("facts")), guess, el("ul", *(el("li", line) for line in data.facts)))


def environment(data: ReportData, say: Say) -> Html:
    """The machine, what really ran on it, the versions, where the model came from and how to repeat this."""
    used = [
        _row(
            [
                (c.id, c.id),
                *(
                    (value, value)
                    for value in (
                        f"{u.library} {u.version}",
                        u.provider or DASH,
                        u.precision or DASH,
                        str(u.threads or DASH),
                        u.instruction_set or DASH,
                    )
                ),
            ]
        )
        for c in data.choice.candidates
        if (u := c.used)
    ]
    heads = [say(h) for h in ("variant", "library", "provider", "precision", "threads", "instructions")]
    ran = [el("h3", say("used")), el("p", say("used_about"), class_="quiet"), _table(heads, used)] if used else []
    columns = [
        el("div", el("h3", say(name)), _pairs(values))
        for name, values in (("machine", data.machine), ("versions", data.versions), ("source", data.source))
        if values
    ]
    return el(
        "section",
        el("h2", say("environment")),
        el("div", *columns, class_="columns"),
        *ran,
        el("h3", say("again")),
        el("pre", data.command),
    )


def skipped(data: ReportData, say: Say) -> Html:
    """What was not done, and why."""
    lines = [el("li", el("b", one.what), ": ", plain(one.why)) for one in data.skipped]
    return el("section", el("h2", say("skipped")), el("ul", *lines) if lines else el("p", say("nothing_skipped")))


def _cells(c: Candidate, data: ReportData, say: Say) -> list[Cell]:
    timing, accuracy, eager = c.latency_ms, c.accuracy, data.reference.latency_ms
    speed = eager / timing.median if timing and eager else None
    why: list[Child] = [plain(c.reason or ""), *(_small(plain(note)) for note in c.notes)]
    beside_eager = _small(say("speed", times=number(speed))) if speed else None
    alike = None if c.agreement is None else _small(say("agreement", share=percent(c.agreement)))
    return [
        (el("span", c.word, class_=f"chip {c.status}"), c.word),
        (join([el("b", c.target), _small(c.recipe), _small(None if c.precision == c.recipe else c.precision)]), c.id),
        (
            join(
                [
                    size(c.size_bytes),
                    _small(say("downloads", size=size(c.download_bytes)) if c.download_bytes else None),
                ]
            ),
            c.size_bytes,
        ),
        (
            join(
                [
                    milliseconds(timing.median),
                    _small(say("p90", value=milliseconds(timing.p90))),
                    _small(say("threads_of", threads=c.threads or DASH)),
                    beside_eager,
                ]
            ),
            timing.median,
        )
        if timing
        else (DASH, None),
        (size(c.memory_bytes), c.memory_bytes),
        (
            join(
                [
                    percent(accuracy.value),
                    _small(say("items_of", items=accuracy.items)),
                    _small(interval(*accuracy.interval)),
                    alike,
                    _tested(c, say),
                ]
            ),
            accuracy.value,
        )
        if accuracy
        else (DASH, None),
        _parity(c, say),
        (join(why), c.reason),
    ]


def _parity(c: Candidate, say: Say) -> Cell:
    """The worst difference; where it is against a Program of its own, that is said, with the distance to the model as
    trained.
    """
    if c.parity is None:
        return DASH, None
    own = _small(say("own_reference", recipe=c.parity_of)) if c.parity_of else None
    far = None
    if c.distance is not None:
        far = _small(
            say("from_trained", distance=say("equal") if c.distance.snr_db is None else decibels(c.distance.snr_db))
        )
    return join(
        [relative(c.parity.max_rel), _small(say("holds" if c.parity.ok else "fails")), own, far]
    ), c.parity.max_rel


def _tested(c: Candidate, say: Say) -> Html | None:
    """The accuracy on the test split, where there is one."""
    return (
        _small(say("tested", value=percent(c.test.value), items=c.test.items, interval=interval(*c.test.interval)))
        if c.test
        else None
    )


def _reference(data: ReportData, say: Say) -> Html:
    eager = data.reference
    latency = join(
        [
            milliseconds(eager.latency_ms),
            _small(say("p90", value=milliseconds(eager.latency.p90)) if eager.latency else None),
        ]
    )
    tested = None if eager.test_accuracy is None else _small(say("tested_eager", value=percent(eager.test_accuracy)))
    shown = [
        say("reference"),
        el("b", say("original")),
        size(eager.size_bytes),
        latency,
        DASH,
        join([percent(eager.accuracy), tested]),
        DASH,
        "",
    ]
    return el("tr", *(el("td", cell) for cell in shown))


def _parity_cells(name: str, one: OutputParity, say: Say) -> list[Cell]:
    return [
        (name, name),
        (one.stage, one.stage),
        (el("code", one.output), one.output),
        (relative(one.max_rel), one.max_rel),
        (DASH if one.tolerance is None else relative(one.tolerance), one.tolerance),
        (say("equal") if one.snr_db is None else decibels(one.snr_db), one.snr_db),
        (str(one.items), one.items),
        (el("span", say("holds" if one.ok else "fails"), class_=f"chip {'ok' if one.ok else 'failed'}"), int(one.ok)),
    ]


def _thread_cell(timing: Timing | None, say: Say) -> Cell:
    if timing is None:
        return DASH, None
    return join([milliseconds(timing.median), _small(say("p90", value=milliseconds(timing.p90)))]), timing.median


def _small(words: str | None) -> Html | None:
    return None if words is None else el("small", words)


def _pairs(values: Mapping[str, Any]) -> Html:
    """A mapping as a definition list; nested ones are flattened by dots."""
    return el("dl", *(join([el("dt", key.replace("_", " ")), el("dd", value)]) for key, value in _flat(values)))


def _flat(values: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, str]]:
    for key, value in values.items():
        if isinstance(value, Mapping):
            yield from _flat(value, f"{prefix}{key}.")
        elif isinstance(value, list | tuple):
            yield f"{prefix}{key}", ", ".join(map(str, value)) or DASH
        elif key.endswith("_bytes") and isinstance(value, int):
            yield f"{prefix}{key.removesuffix('_bytes')}", size(value)
        else:
            yield f"{prefix}{key}", DASH if value is None else str(value)


def _row(cells: Iterable[Cell], class_: str | None = None) -> Html:
    return el("tr", *(el("td", shown, data_sort=value) for shown, value in cells), class_=class_)


def _table(heads: Sequence[str], rows: Sequence[Html], *, foot: Html | None = None, sort: Say | None = None) -> Html:
    titles = [
        el("th", el("button", head, type="button", title=sort("sort", column=head)) if sort else head, scope="col")
        for head in heads
    ]
    table = el(
        "table",
        el("thead", el("tr", *titles)),
        el("tbody", *rows),
        el("tfoot", foot) if foot else None,
        class_="sortable" if sort else None,
    )
    return el("div", table, class_="scroll", tabindex="0")
