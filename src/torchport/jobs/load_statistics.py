"""What a load test may claim of the latencies that it saw: percentiles, and bounds that hold with 99 % confidence.

The bounds are LoadGen's early stopping (mlcommons/inference, `loadgen/early_stopping.cc`) with tolerance 0: as if each
query were within the bound with the same probability, independently of the others. Let n queries be done, and let the
claim be that a share p of all queries is within a bound. If the true share were only p, the number of queries beyond
the bound would follow the binomial distribution of n trials with probability 1 - p. The claim is taken where at most t
were beyond, and P(Binomial(n, 1 - p) <= t) <= 1 - confidence. With p = 0.9 and t = 1 that needs 64 queries, with
p = 0.99 it needs 662.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

CONFIDENCE = 0.99


def at_most(t: int, n: int, chance: float) -> float:
    """P(Binomial(n, chance) <= t), summed from the term of t down; 0 <= t <= n, 0 < chance < 1."""
    odds = (1 - chance) / chance
    term = math.exp(
        math.lgamma(n + 1)
        - math.lgamma(t + 1)
        - math.lgamma(n - t + 1)
        + t * math.log(chance)
        + (n - t) * math.log1p(-chance)
    )
    if t > n * chance:  # the terms grow at first: sum the other tail
        return 1 - sum(_terms_up(t, n, chance, term))
    total = 0.0
    for k in range(t, -1, -1):
        total += term
        if term < total * 1e-16:
            break
        term *= k / (n - k + 1) * odds
    return total


def _terms_up(t: int, n: int, chance: float, term: float) -> list[float]:
    """P(t + 1), P(t + 2), ... until they no longer count."""
    terms = []
    for k in range(t + 1, n + 1):
        term *= (n - k + 1) / k * chance / (1 - chance)
        terms.append(term)
        if term < 1e-18:
            break
    return terms


def holds(beyond: int, queries: int, share: float, confidence: float = CONFIDENCE) -> bool:
    """Whether `beyond` of the queries outside a bound still show that a share of all lies within it."""
    return queries > beyond and at_most(beyond, queries, 1 - share) <= 1 - confidence


def fewest(share: float, beyond: int = 1) -> int:
    """How many queries are needed to claim a share, where `beyond` of them are outside the bound."""
    high = beyond + 1
    while not holds(beyond, high, share):
        high *= 2
    low = beyond
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if holds(beyond, middle, share) else (middle, high)
    return high


def estimate(latencies: Sequence[float], share: float) -> float | None:
    """The early-stopping estimate of a percentile: the greatest latency once the t - 1 greatest are left out, where t
    is the greatest number that may lie beyond a bound; None where there are too few queries.

    Args:
        latencies: in any order and unit.
        share: the percentile as a fraction, as in 0.9.
    """
    n = len(latencies)
    if not holds(1, n, share):
        return None
    low, high = 1, n
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if holds(middle, n, share) else (low, middle)
    return sorted(latencies)[n - low]


def percentile(ordered: Sequence[float], share: float) -> float:
    """The value that a share of the ordered ones is at or below (nearest rank)."""
    return ordered[min(len(ordered) - 1, max(0, math.ceil(share * len(ordered)) - 1))]
