"""The tables that people read, as wide as their terminal; see `layout`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from .. import figures
from ..conform import CheckRow, ConformDocument
from ..deployment.export import Exported
from ..documents import DiffDocument, VariantSize
from ..figures import decibels, interval, milliseconds, percent, relative, signed_points, size
from ..targets.shared.survey import TargetRow
from ..tasks import Task
from ..tasks.parts import written
from ..types import Accuracy, Candidate, Choice, Reference, status_word
from .layout import Column, columns_of, pairs, table

SHOWN_ANSWERS = 20

_SPEED = {"faster": "faster", "slower": "slower", "not shown": "within the timing noise of one file"}


def show(columns: Sequence[Column], rows: Sequence[Sequence[str]], note: Column | None = None) -> None:
    """Print a table on standard output without the columns that are empty."""
    used = [i for i, column in enumerate(columns) if column.kept or any(row[i] for row in rows)]
    kept = [[*(row[i] for i in used), *row[len(columns) :]] for row in rows]
    print(table([columns[i] for i in used], kept, columns_of(), note))
    print()


def candidates(choice: Choice, reference: Reference) -> None:
    """The candidate table: the chosen row first, then by latency, with the eager model as the last row."""
    rows = sorted(choice.candidates, key=lambda c: c.place)
    cells = [
        [
            c.id,
            c.word,
            _size(c.size_bytes),
            _ms(c),
            _value(c.accuracy),
            _threads(c),
            _size(c.memory_bytes),
            parity(c),
            _interval(c.accuracy),
            _tested(c.test),
            c.reason or "",
        ]
        for c in rows
    ]
    metric = next((c.accuracy.metric for c in rows if c.accuracy), "accuracy")
    known = "" if reference.accuracy is None else percent(reference.accuracy)
    tested = "" if reference.test_accuracy is None else percent(reference.test_accuracy)
    cells.append(
        [
            "eager PyTorch",
            "reference",
            _size(reference.size_bytes),
            milliseconds(reference.latency_ms),
            known,
            "",
            "",
            "",
            "",
            tested,
            "",
        ]
    )
    columns = [
        Column("variant", kept=True),
        Column("status", kept=True),
        Column("size", kept=True, right=True),
        Column("latency", kept=True, right=True),
        Column(metric, label=metric),
        Column("threads", right=True, label="threads"),
        Column("memory", right=True, label="memory"),
        Column("parity", label="parity"),
        Column("difference (95 %)", label="differs by"),
        Column("test split", label="test split"),
    ]
    show(columns, cells, Column("reason"))


def targets(rows: Sequence[TargetRow]) -> None:
    """The support matrix: each target with its status, and what stands in the way of those that do not work."""
    cells = []
    for row in rows:
        where = ", ".join(row.profiles) or ("where PyTorch is" if row.status == "ok" else "")
        why = f"{row.reason or row.status}; {row.install}" if row.status != "ok" else ""
        cells.append([row.name, row.status, row.version or "", where, why or row.about, ", ".join(row.precisions)])
    columns = [
        Column("target", kept=True),
        Column("status", kept=True),
        Column("version", kept=True),
        Column("runs on", label="runs on"),
        Column("what it is"),
    ]
    show(columns, cells, Column("precisions", label="precisions:"))


def tasks(known: Sequence[Task]) -> None:
    """The tasks, a line each."""
    show(
        [Column("task", kept=True), Column("judged by", kept=True)],
        [[task.name, task.metric, task.about] for task in known],
        Column("what it answers"),
    )


def task(one: Task) -> None:
    """Everything that a user may want to know of a task."""
    said([("task", f"{one.name}: {one.about}"), ("--data", one.about_data), ("judged by", one.about_metric)])
    rows = [[f"--set {fact}=", written(value), one.about_facts.get(fact, "")] for fact, value in one.defaults.items()]
    if rows:
        show([Column("fact", kept=True), Column("default", kept=True)], rows, Column("what it is"))


def said(lines: Sequence[tuple[str, str]]) -> None:
    """Headings with what is to be said of each, wrapped beside them."""
    print(pairs(lines, columns_of()))
    print()


def chosen(choice: Choice) -> tuple[str, str]:
    """The line that says what won and why; the reason mostly begins with the winner's name."""
    return "chosen:", choice.why if choice.chosen and choice.why.startswith(
        choice.chosen
    ) else f"{choice.chosen}. {choice.why}"


def exported(rows: Sequence[Exported]) -> None:
    """The table of `export`."""
    cells = [
        [r.id, status_word(r.status), "" if r.max_rel is None else relative(r.max_rel), r.reason or ", ".join(r.files)]
        for r in rows
    ]
    show(
        [Column("variant", kept=True), Column("status", kept=True), Column("max_rel", kept=True, right=True)],
        cells,
        Column("files"),
    )


def verdicts(rows: Sequence[Any]) -> None:
    """The table of `verify`."""
    cells = [
        [
            r.id,
            r.status,
            "" if r.max_rel is None else relative(r.max_rel),
            "" if r.snr_db is None else decibels(r.snr_db),
            r.reason or (f"without {', '.join(r.declined)}, which the host answers for" if r.declined else ""),
        ]
        for r in rows
    ]
    show(
        [
            Column("variant", kept=True),
            Column("status", kept=True),
            Column("max_rel", right=True, label="max_rel"),
            Column("SNR", right=True, label="SNR"),
        ],
        cells,
        Column("reason"),
    )


def sizes(rows: Sequence[VariantSize]) -> None:
    """The table of `pack`."""
    columns = [
        Column("variant", kept=True),
        *(Column(head, right=True, label=head) for head in ("on disk", "to download", "opened", "memory")),
    ]
    show(
        columns,
        [
            [r.id, _size(r.size_bytes), _size(r.download_bytes), _size(r.decoded_bytes), _size(r.memory_bytes)]
            for r in rows
        ],
    )


def checks(found: ConformDocument) -> None:
    """The table of `conform`: what differs first, then what is not offered, then what holds; under it their numbers."""
    order = {"differs": 0, "not offered": 1, "holds": 2}
    merged: dict[tuple[str, ...], list[str]] = {}
    for row in sorted(found.checks, key=lambda row: order[row.verdict]):
        merged.setdefault((row.verdict, row.area, _said_of(row)), []).append(row.name)
    show(
        [Column("verdict", kept=True), Column("by", kept=True)],
        [[verdict, area, f"{', '.join(names)}: {said}"] for (verdict, area, said), names in merged.items()],
        Column("check"),
    )
    numbers = ", ".join(f"{found.verdicts.get(one, 0)} {word}" for one, word in _COUNTED.items())
    print(f"{found.server}, model {found.model or 'none'}: {numbers}")


_COUNTED = {"holds": "hold", "differs": "differ", "not offered": "not offered"}


def _said_of(row: CheckRow) -> str:
    if row.verdict == "not offered":
        return row.reason or ""
    return f"{row.about} ({row.source}){': ' if row.reason else ''}{row.reason or ''}"


def difference(found: DiffDocument) -> None:
    """The tables of `diff`: the figures, then the answers that changed."""
    old, new = found.old, found.new
    points = f"{signed_points(found.accuracy_change)} of {found.items} items [{interval(*found.interval)}]"
    rows = [
        [found.metric, percent(old.accuracy), percent(new.accuracy), points],
        [
            "latency",
            milliseconds(old.latency_ms.median),
            milliseconds(new.latency_ms.median),
            f"{change(old.latency_ms.median, new.latency_ms.median)} ({_SPEED[found.speed]})",
        ],
        ["size on disk", size(old.size_bytes), size(new.size_bytes), change(old.size_bytes, new.size_bytes)],
        [
            "to download",
            _size(old.download_bytes),
            _size(new.download_bytes),
            change(old.download_bytes, new.download_bytes),
        ],
        ["memory", _size(old.memory_bytes), _size(new.memory_bytes), change(old.memory_bytes, new.memory_bytes)],
        ["answered alike", "", percent(found.agreement), ""],
    ]
    show(
        [
            Column("", kept=True),
            *(Column(head, kept=True, right=True) for head in (f"{old.variant} (old)", f"{new.variant} (new)")),
        ],
        rows,
        Column("change"),
    )
    marks = {True: " (right)", False: " (wrong)", None: ""}
    cells = [
        [
            one.item,
            one.label or "",
            f"{one.old or 'no answer'}{marks[one.old_right]}",
            f"{one.new or 'no answer'}{marks[one.new_right]}",
        ]
        for one in found.changed[:SHOWN_ANSWERS]
    ]
    if cells:
        more = len(found.changed) - len(cells)
        print(f"answers that changed{f' ({more} more with --json)' if more else ''}\n")
        show([Column("item", kept=True), *(Column(head, label=f"{head}:") for head in ("label", "old", "new"))], cells)


def change(old: float | None, new: float | None) -> str:
    """How much more or less the new figure is, in per cent of the old one."""
    return "" if not old or new is None else figures.change(old, new)


def parity(c: Candidate) -> str:
    """The worst relative difference of the model graph; of a row with a reference of its own, also its distance to the
    model as trained.
    """
    if c.parity is None or not c.parity.ok:
        return "" if c.parity is None else "FAILED"
    if c.distance is None:
        return _relative(c)
    trained = "equal" if c.distance.snr_db is None else decibels(c.distance.snr_db)
    return f"{_relative(c)} own; {trained} to trained"


def _relative(c: Candidate) -> str:
    return relative(0.0 if c.parity is None else c.parity.max_rel)


def _size(count: int | None) -> str:
    return "" if count is None else size(count)


def _ms(c: Candidate) -> str:
    return milliseconds(c.latency_ms.median) if c.latency_ms else ""


def _threads(c: Candidate) -> str:
    return str(c.threads) if c.latency_ms and c.threads else ""


def _value(one: Accuracy | None) -> str:
    return "" if one is None else f"{percent(one.value)} of {one.items}"


def _interval(one: Accuracy | None) -> str:
    return "" if one is None else interval(*one.interval)


def _tested(one: Accuracy | None) -> str:
    return "" if one is None else f"{_value(one)} ({_interval(one)})"
