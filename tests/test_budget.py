import pytest
from hypothesis import given
from hypothesis import strategies as st

from torchport.choice import budget
from torchport.errors import UsageError


@pytest.mark.parametrize(
    ("text", "limits"),
    [
        ("accuracy>=99%", {"accuracy_share": 0.99}),
        ("accuracy>=0.91", {"accuracy_least": 0.91}),
        ("accuracy<=1pt", {"accuracy_drop": 0.01}),
        ("latency<=10ms", {"latency_ms": 10}),
        ("latency<=250us", {"latency_ms": 0.25}),
        ("latency<=250µs", {"latency_ms": 0.25}),
        ("latency <= 1.5 s", {"latency_ms": 1500}),
        ("size<=8MB", {"size_bytes": 8_000_000}),
        ("size<=900kB", {"size_bytes": 900_000}),
        ("size<=8MiB", {"size_bytes": 8 * 2**20}),
        ("memory<=.5GB", {"memory_bytes": 500_000_000}),
        (
            " accuracy >= 98.5 % ,latency<= 10 ms,size<=8MB, memory<=200mb ",
            {"accuracy_share": 0.985, "latency_ms": 10, "size_bytes": 8_000_000, "memory_bytes": 200_000_000},
        ),
    ],
)
def test_every_term(text, limits):
    parsed = budget.parse(text)
    for name in ("accuracy_share", "accuracy_least", "accuracy_drop", "latency_ms", "size_bytes", "memory_bytes"):
        wanted = limits.get(name)
        if name == "accuracy_share" and not any(key.startswith("accuracy") for key in limits):
            wanted = budget.DEFAULT_SHARE
        assert getattr(parsed, name) == pytest.approx(wanted), name


def test_accuracy_is_added_where_the_user_is_silent_and_the_text_says_so():
    assert budget.parse("latency<=10 ms").text == "accuracy>=99%,latency<=10ms"
    assert budget.default() == budget.parse("accuracy>=99%")
    assert budget.parse("accuracy<=1pt").accuracy_share is None


@pytest.mark.parametrize(
    "text",
    [
        "",
        "latency",
        "latency<10ms",
        "latency>=10ms",
        "latency<=10",
        "latency<=10MB",
        "latency<=0ms",
        "size<=8",
        "size<=-8MB",
        "speed<=8MB",
        "accuracy>=99",
        "accuracy>=101%",
        "accuracy<=1%",
        "accuracy>=1.2",
        "accuracy>=0",
        "latency<=10ms,",
        "latency<=10ms latency<=20ms",
        "latency<=1e3ms",
        "latency<=nanms",
    ],
)
def test_anything_else_is_refused_with_an_example(text):
    with pytest.raises(UsageError) as caught:
        budget.parse(text)
    assert "accuracy>=" in caught.value.hint


def test_the_same_limit_twice_is_refused():
    with pytest.raises(UsageError, match="twice"):
        budget.parse("latency<=10ms,latency<=20ms")


@given(st.text(alphabet="acurylteniszmo<>=0123456789.,% MBkpt", max_size=30))
def test_no_text_breaks_the_reader(text):
    try:
        parsed = budget.parse(text)
    except UsageError:
        return
    assert budget.parse(parsed.text) == parsed


def test_words():
    text = budget.words(budget.parse("accuracy>=99%,latency<=10ms,size<=8MB,memory<=200MB"))
    assert (
        text
        == "at least 99 % of the reference's accuracy, an answer within 10 ms, at most 8 MB on disk, at most 200 MB "
        "of memory"
    )
    assert budget.words(budget.parse("accuracy>=0.91")) == "accuracy of at least 91 %"
    assert budget.words(budget.parse("accuracy<=1pt")) == "at most 1 point of accuracy lost"
