"""What a report is made from: the values that deploy already has, and nothing that has to be opened again."""

from __future__ import annotations

from typing import Any

from ..types import Choice, Parity, Reference, Value


class Answer(Value, frozen=True):
    """One variant's answer to one item, in words; `same` is whether the task counts it as the reference's answer."""

    text: str
    same: bool


class PictureRow(Value, frozen=True):
    """One item of the data and what was answered.

    Attributes:
        name: the item's name, without a folder.
        label: what it really is, None where the data says nothing.
        thumbnail: a small JPEG to show it by, None for items that are not pictures.
        reference: the eager model's answer, in words.
        right: whether the reference's answer agrees with the label, None without one.
        answers: variant id -> answer.
    """

    name: str
    label: str | None
    thumbnail: bytes | None
    reference: str
    right: bool | None
    answers: dict[str, Answer]

    @property
    def dull(self) -> tuple[bool, bool]:
        """What rows are ordered by: those with a differing answer come first, then those whose reference is wrong."""
        return all(answer.same for answer in self.answers.values()), self.right is not False


class Skipped(Value, frozen=True):
    """Something that was not done (a target, a recipe, a check) and why."""

    what: str
    why: str


class ReportData(Value, frozen=True):
    """Everything that one report shows.

    Attributes:
        title: name of the model or Bundle.
        task: name of the task.
        facts: what the task was told, a line each.
        assumed: names of the facts that nobody stated.
        choice: the decision with every candidate.
        reference: the eager model.
        budget: the budget in words.
        machine: property -> value of the machine that was measured; no host or user name.
        versions: package -> version.
        source: where the model came from, with content hashes.
        command: the command line that makes this again.
        pictures: the items that were compared.
        skipped: what was not done.
        stages: check -> parity of what is compared beside the candidates' own graphs, such as a host step and its
        graph. doubted: what the data makes doubtful: guessed labels, a model that is poor on it; a sentence each, among
        the choice's warnings.
    """

    title: str
    task: str
    facts: tuple[str, ...]
    assumed: tuple[str, ...]
    choice: Choice
    reference: Reference
    budget: str
    machine: dict[str, Any]
    versions: dict[str, str]
    source: dict[str, Any]
    command: str
    pictures: tuple[PictureRow, ...] = ()
    skipped: tuple[Skipped, ...] = ()
    stages: dict[str, Parity] = {}
    doubted: tuple[str, ...] = ()
