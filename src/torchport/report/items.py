"""Item by item: the picture, what it is, what eager PyTorch answers, and who answers differently."""

from __future__ import annotations

import base64

from .data import PictureRow, ReportData
from .markup import Html, el
from .phrases import Say

_MOST = 100  # cards on one page: a report of a large data set stays one file that a phone can open


def items(data: ReportData, say: Say) -> Html | None:
    """A card an item, those with a difference first; None without items."""
    if not data.pictures:
        return None
    rows = sorted(data.pictures, key=lambda row: row.dull)
    left = rows[_MOST:]
    differ = sum(not all(answer.same for answer in row.answers.values()) for row in left)
    return el(
        "section",
        el("h2", say("pictures")),
        el("p", say("pictures_about"), class_="quiet"),
        el("div", *(_card(row, say) for row in rows[:_MOST]), class_="cards"),
        el("p", say("more_items", count=len(left), differ=differ), class_="quiet") if left else None,
    )


def _card(row: PictureRow, say: Say) -> Html:
    differing = {name: answer for name, answer in row.answers.items() if not answer.same}
    summary = say("differ", count=len(differing), all=len(row.answers)) if differing else say("same_all")
    mark = (
        None
        if row.right is None
        else el("span", say("right" if row.right else "wrong"), class_=f"chip {'ok' if row.right else 'failed'}")
    )
    label = say("unlabelled") if row.label is None else say("label", label=row.label)
    lines = [
        el("li", el("b", name), ": ", answer.text, class_=None if answer.same else "other")
        for name, answer in row.answers.items()
    ]
    return el(
        "article",
        _thumbnail(row),
        el("div", el("b", row.reference), " ", mark, el("small", label), el("small", row.name)),
        *(el("p", el("b", name), ": ", answer.text, class_="other") for name, answer in differing.items()),
        el("details", el("summary", summary), el("ul", *lines)) if lines else None,
        class_="card differs" if differing else "card",
    )


def _thumbnail(row: PictureRow) -> Html | None:
    if row.thumbnail is None:
        return None
    return el(
        "img",
        src=Html(f"data:image/jpeg;base64,{base64.b64encode(row.thumbnail).decode()}"),
        alt=row.name,
        loading="lazy",
    )
