"""How alike two texts are by their runs of characters: chrF (Popović, "chrF: character n-gram F-score", 2015), for any
script.
"""

from __future__ import annotations

from collections import Counter

LONGEST = 6
"""Runs of one to six characters count; blanks do not."""

BETA = 2
"""How much more it counts to have said all that the reference says than to have said nothing else."""


def score(text: str, reference: str) -> float:
    """0 (nothing in common) to 1 (the same but for blanks); the mean F-score over the lengths that both texts have."""
    said, wanted = ("".join(one.split()) for one in (text, reference))
    precisions, recalls = [], []
    for size in range(1, min(LONGEST, len(said), len(wanted)) + 1):
        ours, theirs = _runs(said, size), _runs(wanted, size)
        both = (ours & theirs).total()
        precisions.append(both / ours.total())
        recalls.append(both / theirs.total())
    if not sum(precisions):
        return float(said == wanted)
    precision, recall = sum(precisions) / len(precisions), sum(recalls) / len(recalls)
    return (1 + BETA**2) * precision * recall / (BETA**2 * precision + recall)


def _runs(text: str, size: int) -> Counter[str]:
    return Counter(text[place : place + size] for place in range(len(text) - size + 1))
