"""Which column of a user's table is what, by the names that people give them; case and surrounding blanks do not
count.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from ...errors import BadInput

PICTURE = ("file", "image", "path", "filename", "file_name", "image_path")
RECORDING = ("file", "audio", "path", "filename", "file_name", "audio_path")
TEXT = ("text", "sentence", "content", "review", "document", "source", "input")
LABEL = ("label", "class", "target", "category", "label_name", "class_name")
TRANSCRIPT = ("text", "transcript", "transcription", "sentence", "label")


PAIR = ("text_pair", "text2", "text_b", "sentence2", "question2", "premise", "hypothesis")
"""Columns that hold the second text of a pair."""


def refuse_pairs(row: Mapping[str, Any], where: str) -> None:
    """See that a row is one text; raises BadInput where a column says that it is half of a pair."""
    for name, value in row.items():
        if isinstance(name, str) and name.strip().lower() in PAIR and value not in (None, ""):
            hint = "join the two in the column text as the model was trained to read them, or leave the column out"
            raise BadInput(
                f"{where}: the column '{name}' makes pairs of texts, and every task here reads one text", hint
            )


def column(names: Sequence[str] | None, wanted: Sequence[str], where: str, *, needed: bool = True) -> str | None:
    """The one of a table's columns that has one of the wanted names, as the table writes it.

    Raises:
        BadInput: there is none and one is needed, or there are several.
    """
    given = {name.strip().lower(): name for name in names or () if isinstance(name, str)}
    found = [given[name] for name in wanted if name in given]
    if len(found) > 1 and wanted[0] not in given:
        raise BadInput(f"{where} has the columns {' and '.join(found)}", f"call one of them {wanted[0]}")
    if not found and needed:
        raise BadInput(
            f"{where} has the columns {', '.join(map(str, names or ())) or 'of no name'}",
            f"its first line names the columns, as in {wanted[0]},label; {wanted[0]} may be called "
            f"{', '.join(wanted[1:4])} too",
        )
    return found[0] if found else None
