import random

import pytest

from torchport.stats import discordance, items_needed, items_needed_for, paired_interval, tango, wilson

Z2 = 1.959963984540054**2


@pytest.mark.parametrize(
    ("gained", "lost", "n", "level", "published"),
    [
        # Airway hyper-responsiveness before and after stem cell transplantation (Bentur et al. 2009): Fagerland,
        # Lydersen and Laake, Recommended tests and confidence intervals for paired binomial proportions, 2014.
        (1, 7, 21, 0.95, (-0.517, -0.026)),
        # A value of scoreci.mp of the R package PropCIs.
        (28, 25, 618, 0.90, (-0.0148, 0.0247)),
    ],
)
def test_published_intervals(gained, lost, n, level, published):
    assert tango(gained, lost, n, level) == pytest.approx(published, abs=6e-4 if n < 100 else 6e-5)


@pytest.mark.parametrize("n", [1, 20, 500, 50_000])
def test_no_differing_pair_still_leaves_room(n):
    low, high = paired_interval([1] * n, [1] * n)
    assert high == pytest.approx(Z2 / (n + Z2), rel=1e-6)
    assert low == pytest.approx(-high, rel=1e-6)


def test_candidate_and_reference_mirror_each_other():
    low, high = tango(3, 9, 100)
    assert tango(9, 3, 100) == pytest.approx((-high, -low))
    assert low < -0.06 < high
    assert tango(20, 0, 20)[1] == 1.0
    assert tango(0, 20, 20)[0] == -1.0


@pytest.mark.parametrize(
    ("n", "gained", "lost"), [(20, 0.05, 0.05), (50, 0.02, 0.03), (200, 0.01, 0.01), (500, 0.02, 0.03)]
)
def test_coverage_by_simulation(n, gained, lost):
    dice, known, hits, rounds = random.Random(7), {}, 0, 400
    for _ in range(rounds):
        draws = [dice.random() for _ in range(n)]
        counts = sum(x < gained for x in draws), sum(gained <= x < gained + lost for x in draws)
        low, high = known.setdefault(counts, tango(*counts, n))
        hits += low <= gained - lost <= high
    assert hits / rounds > 0.92


def test_scores_between_zero_and_one():
    dice = random.Random(3)
    reference = [dice.uniform(0.3, 0.9) for _ in range(2000)]
    scores = [x + dice.gauss(-0.05, 0.2) for x in reference]
    low, high = paired_interval(reference, scores)
    assert low < -0.05 < high
    assert high - low == pytest.approx(2 * 1.96 * 0.2 / 2000**0.5, rel=0.1)
    few = paired_interval([0.5] * 20, [0.5] * 20)
    assert few == pytest.approx((-Z2 / (20 + Z2), Z2 / (20 + Z2)))


def test_edges():
    assert paired_interval([], []) == (-1.0, 1.0)
    assert paired_interval([0.5], [0.25])[0] < -0.25
    with pytest.raises(ValueError):
        paired_interval([1, 0], [1])


def test_items_needed_are_enough_and_one_less_is_not():
    assert items_needed(0.01) == 381
    for gained, lost in [(0.0, 0.0), (0.01, 0.01), (0.0, 0.005)]:
        needed = items_needed(0.01, gained, lost)
        assert tango(gained * needed, lost * needed, needed)[0] >= -0.01
        assert tango(gained * (needed - 1), lost * (needed - 1), needed - 1)[0] < -0.01
    assert items_needed(0.01, 0.0, 0.01) is None
    assert items_needed(0.0) is None


def test_items_needed_for_an_absolute_accuracy():
    needed = items_needed_for(0.9, 0.95)
    assert wilson(0.95, needed)[0] >= 0.9 > wilson(0.95, needed - 1)[0]
    assert items_needed_for(0.9, 0.9) is None


@pytest.mark.parametrize(
    ("gained", "lost", "n"), [(0, 0, 20), (1, 7, 21), (3, 0, 20), (0, 2, 500), (20, 0, 20), (0, 20, 20)]
)
def test_the_differing_pairs_are_read_back_from_the_interval(gained, lost, n):
    assert discordance(tango(gained, lost, n), (gained - lost) / n, n) == pytest.approx(
        (gained / n, lost / n), abs=1e-6
    )
