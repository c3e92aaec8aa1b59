"""How sure a measured accuracy is: intervals of paired differences, and how many items a budget would need.

Scores are 0..1, one per item, and the difference is always candidate minus reference.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from statistics import NormalDist, fmean, stdev

_MOST_ITEMS = 10**9

EQUAL_FILES = 0.1
"""By how much two timings of one file may differ, as a share: where a process lies in memory makes it up to a tenth
faster or slower for as long as it lives. What differs by less is not called faster or slower."""


def told_apart(one_ms: float, other_ms: float, noise: float) -> bool:
    """Whether two medians differ by more than two timings of one file.

    Args:
        one_ms, other_ms: milliseconds, greater than 0.
        noise: the greater noise of the two, as a share of the median.
    """
    return max(one_ms, other_ms) > min(one_ms, other_ms) * (1 + max(EQUAL_FILES, noise))


def paired_interval(
    reference_scores: Sequence[float], scores: Sequence[float], level: float = 0.95
) -> tuple[float, float]:
    """Two-sided interval of the mean of `score - reference`, item by item.

    Scores that are all 0 or 1 take Tango's interval. Others take Student's, never narrower than what as many pairs
    without any difference would leave open: equal scores on a few items are no proof of equality on all.

    Args:
        reference_scores, scores: n numbers in 0..1 each, in the same order.

    Returns:
        (low, high) within -1..1; (-1, 1) for no items.

    Raises:
        ValueError: the two differ in length.
    """
    pairs = list(zip(reference_scores, scores, strict=True))
    if not pairs:
        return -1.0, 1.0
    if all(x in (0, 1) for pair in pairs for x in pair):
        gained = sum(score > known for known, score in pairs)
        lost = sum(score < known for known, score in pairs)
        return tango(gained, lost, len(pairs), level)
    n, z = len(pairs), _z(level)
    differences = [score - known for known, score in pairs]
    mean, half = fmean(differences), z * z / (n + z * z)
    if n > 1:
        half = max(half, _student(z, n - 1) * stdev(differences) / math.sqrt(n))
    return max(-1.0, mean - half), min(1.0, mean + half)


def tango(gained: float, lost: float, n: float, level: float = 0.95) -> tuple[float, float]:
    """Score interval of the difference of two paired proportions, (gained - lost) / n.

    It keeps its level where few or no pairs differ: without any it is +-z^2 / (n + z^2). Source: T. Tango, Equivalence
    test and confidence interval for the difference in proportions for the paired-sample design, Statistics in Medicine
    17 (1998) 891-908.

    Args:
        gained: pairs that only the candidate got right.
        lost: pairs that only the reference got right.
        n: all pairs, at least one.
    """
    z = _z(level)
    seen = (gained - lost) / n

    def statistic(delta: float) -> float:
        a = 2 * n
        b = (2 * n - gained + lost) * delta - gained - lost
        c = -lost * delta * (1 - delta)
        share = (math.sqrt(max(b * b - 4 * a * c, 0.0)) - b) / (2 * a)  # of lost pairs, most likely if delta is true
        variance = n * (2 * share + delta * (1 - delta))
        gap = gained - lost - n * delta
        return gap / math.sqrt(variance) if variance > 0 else math.copysign(math.inf, gap)

    low = -1.0 if seen <= -1 else _root(lambda delta: statistic(delta) - z, -1.0, seen)
    high = 1.0 if seen >= 1 else _root(lambda delta: statistic(delta) + z, seen, 1.0)
    return low, high


def wilson(share: float, n: float, level: float = 0.95) -> tuple[float, float]:
    """Wilson's score interval of one proportion, `share` of `n` items; wide enough for any mean of scores in 0..1."""
    z2 = _z(level) ** 2
    centre, half = share + z2 / (2 * n), math.sqrt(z2 * share * (1 - share) / n + z2 * z2 / (4 * n * n))
    return (centre - half) / (1 + z2 / n), (centre + half) / (1 + z2 / n)


def discordance(interval: tuple[float, float], difference: float, items: int) -> tuple[float, float]:
    """The shares of pairs gained and lost that explain a Tango interval: what `items_needed` continues.

    Args:
        interval: (low, high) as `paired_interval` gave it.
        difference: the mean difference that it belongs to.
        items: how many pairs it was made from.
    """
    least, most = max(0.0, -difference), (1 - abs(difference)) / 2 + max(0.0, -difference)
    lost = _root(lambda lost: tango((lost + difference) * items, lost * items, items)[0] - interval[0], least, most)
    return lost + difference, lost


def items_needed(loss_allowed: float, gained: float = 0.0, lost: float = 0.0, level: float = 0.95) -> int | None:
    """How many items show a loss of at most `loss_allowed`, if pairs go on to differ as often as they did.

    Args:
        loss_allowed: greatest allowed loss, a fraction.
        gained, lost: shares of the pairs that only the candidate, only the reference, got right.

    Returns:
        The number of items, or None when no number would show it.
    """
    if gained - lost <= -loss_allowed:
        return None
    return _fewest(lambda n: tango(gained * n, lost * n, n, level)[0] >= -loss_allowed)


def items_needed_for(least: float, value: float, level: float = 0.95) -> int | None:
    """How many items show an accuracy of at least `least`, if `value` is what they go on to score; None if never."""
    if value <= least:
        return None
    return _fewest(lambda n: wilson(value, n, level)[0] >= least)


def _fewest(shown: Callable[[int], bool]) -> int | None:
    high = 1
    while not shown(high):
        high *= 2
        if high > _MOST_ITEMS:
            return None
    low = high // 2
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if shown(middle) else (middle, high)
    return high


def _root(function: Callable[[float], float], low: float, high: float) -> float:
    """Where a falling function crosses zero, by bisection; the nearer end where it does not."""
    for _ in range(60):
        middle = (low + high) / 2
        low, high = (middle, high) if function(middle) > 0 else (low, middle)
    return (low + high) / 2


def _z(level: float) -> float:
    return NormalDist().inv_cdf((1 + level) / 2)


def _student(z: float, freedom: int) -> float:
    """Student's quantile from the normal one: Abramowitz and Stegun 26.7.5, within 1 % from 4 degrees of freedom."""
    terms = (
        (z**3 + z) / 4,
        (5 * z**5 + 16 * z**3 + 3 * z) / 96,
        (3 * z**7 + 19 * z**5 + 17 * z**3 - 15 * z) / 384,
        (79 * z**9 + 776 * z**7 + 1482 * z**5 - 1920 * z**3 - 945 * z) / 92160,
    )
    return z + math.fsum(term / freedom ** float(i) for i, term in enumerate(terms, 1))
