"""What a reader of the report relies on: every figure is there, nothing leaves the file, nothing private is in it."""

from __future__ import annotations

import re
import shutil
import subprocess
import xml.etree.ElementTree as ElementTree
from html.parser import HTMLParser

import pytest
from msgspec.structs import replace
from report_samples import candidates, choice, parity, pictures, sample

from torchport.errors import OutputError, UsageError
from torchport.report import Answer, PictureRow, Skipped, render, write
from torchport.types import Accuracy, Choice, Distance, Reference

VOID = {"br", "img", "meta"}


class Page(HTMLParser):
    """The text and the attributes of a page; checks on the way that every element is closed in order."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.words, self.links, self.open = "", [], []
        self.feed(page)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.links += [value for key, value in attrs if key in ("src", "href", "action", "data", "poster", "srcset")]
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        pass

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self.open[-1:] not in (["style"], ["script"]):
            self.words += f" {data}"

    @property
    def text(self) -> str:
        return " ".join(self.words.split())


def test_a_report_is_one_file_that_asks_the_network_for_nothing(tmp_path):
    path = tmp_path / "report.html"
    write(path, sample())
    page = path.read_text("utf-8")
    assert [p.name for p in tmp_path.iterdir()] == ["report.html"]
    assert all(link.startswith("data:image/jpeg;base64,/9j/") for link in Page(page).links)
    assert not re.search(r"https?://|url\(|@import|<link|<iframe", page)
    assert "default-src 'none'" in page.replace("&#x27;", "'")


def test_the_verdict_comes_first_in_words():
    text = Page(render(sample())).text
    assert (
        "openvino-fp32 is chosen : 4.42 times as fast as eager PyTorch, 18.7 MB, top-1 85 % on 20 items, answers like "
        "the original." in text
    )
    assert "accuracy at least 99 % of fp32 · not shown" in text
    assert text.index("is chosen") < text.index("20 items cannot show a loss of 1 %") < text.index("Candidates")


def test_the_numbers_say_what_they_rest_on():
    text = Page(render(sample())).text
    assert "Accuracy rests on 20 items" in text
    assert "a loss of up to 16.1 pt is not excluded" in text
    assert "105 calls of batch 1 in 7 interleaved rounds, in child processes, on AMD EPYC 9B14" in text
    assert "assumed, because nobody stated it: interpolation, resize" in text
    assert "made-up" not in text


def test_made_up_inputs_old_figures_and_missing_labels_are_said():
    rows = tuple(
        replace(c, parity=parity(1e-6, made_up=True), accuracy=c.accuracy and replace(c.accuracy, labelled=False))
        for c in candidates()
    )
    text = Page(
        render(
            sample(
                choice=choice(candidates=rows),
                reference=Reference(latency_ms=38.2, accuracy=1.0, size_bytes=1, measured="at deploy"),
            )
        )
    ).text
    assert "answers like the original on made-up inputs only" in text
    assert "Parity was checked on made-up inputs only" in text
    assert "accuracy here is agreement with the fp32 model" in text
    assert "measured when the Bundle was made, not now" in text


def test_every_candidate_has_its_row_with_its_reason_and_notes():
    page = Page(render(sample())).text
    table = page[page.index("Candidates") : page.index("Size, latency and accuracy")]
    for c in candidates():
        assert f"{c.word} {c.target}" in table
        assert (c.reason or "") in table
        assert all(note in table for note in c.notes)
    assert "\N{MINUS SIGN}23.6 .. +11.2 pt" in table
    assert "reference eager PyTorch 18.9 MB 38.2 ms" in table


def test_what_was_answered_on_items_that_chose_nothing_stands_beside():
    rows = list(candidates())
    rows[0] = replace(
        rows[0], test=Accuracy(value=0.871, items=723, interval=(-0.012, 0.004), metric="top-1", labelled=True)
    )
    text = Page(
        render(
            sample(choice=choice(candidates=tuple(rows)), reference=replace(sample().reference, test_accuracy=0.875))
        )
    ).text
    assert "test split: 87.1 % of 723 items" in text
    assert "test split: 87.5 %" in text
    assert "test split" not in Page(render(sample())).text


def test_parity_names_the_outputs_that_fail_and_where():
    page = Page(render(sample())).text
    section = page[page.index("Parity, output by output") : page.index("Facts of the task")]
    assert "pt2-fp32 model output_0 2.0e-02 1.0e-04 31 dB 20 fails" in section
    assert "output_0 differs by 2e-02, allowed is 1e-04" in section
    assert "onnx-fp32 preprocess pixels 0 1.0e-04 118 dB 20 holds" in section
    assert "host resize / preprocess graph preprocess pixels 0 1.0e-04 equal to the bit" in section


def test_items_that_differ_come_first_and_name_who_differs():
    text = Page(render(sample())).text
    assert text.index("photo_01.jpg") < text.index("photo_00.jpg")
    assert "openvino-fp16 : tiger cat 44.0 %" in text
    assert "1 of 7 variants answer differently" in text


def test_a_large_data_set_is_cut_and_the_page_says_so():
    same = Answer(text="x", same=True)
    rows = [
        PictureRow(name=f"item {i}", label=None, thumbnail=None, reference="x", right=None, answers={"a": same})
        for i in range(130)
    ]
    rows.append(
        PictureRow(
            name="the odd one",
            label=None,
            thumbnail=None,
            reference="x",
            right=None,
            answers={"a": Answer(text="y", same=False)},
        )
    )
    text = Page(render(sample(pictures=tuple(rows)))).text
    assert "the odd one" in text and "item 129" not in text
    assert "31 more items are not shown; 0 of them differ" in text


def test_nothing_met_the_budget():
    nothing = choice(
        chosen=None,
        chosen_for={},
        met="no",
        why="Nothing keeps 1 ms.",
        nearest={"latency": "openvino-fp32 takes 8.4 ms"},
    )
    text = Page(render(sample(choice=nothing))).text
    assert "Nothing met the budget Nothing keeps 1 ms." in text
    assert "Nearest misses latency : openvino-fp32 takes 8.4 ms" in text


def test_nothing_but_failures_still_makes_a_page():
    rows = candidates()[-2:]
    empty = Choice(chosen=None, chosen_for={}, met="no", why="All failed.", met_because="", front=(), candidates=rows)
    bare = sample(
        choice=empty,
        reference=Reference(latency_ms=None, accuracy=None, size_bytes=None),
        pictures=(),
        stages={},
        skipped=(),
        assumed=(),
    )
    text = Page(render(bare)).text
    assert "the converter crashed (SIGSEGV)" in text
    assert "No accuracy was measured." in text and "No latency was measured." in text
    assert "Nothing was skipped." in text


def test_text_is_escaped_wherever_it_comes_from():
    evil = "<script>alert(1)</script>\"'&"
    rows = (replace(candidates()[0], reason=evil, notes=(evil,)), *candidates()[1:])
    data = sample(
        title=evil,
        facts=(evil,),
        budget=evil,
        command=evil,
        machine={evil: evil},
        source={evil: {evil: [evil]}},
        choice=choice(candidates=rows, why=evil, met_because=evil),
        pictures=(replace(pictures()[0], name=evil, label=evil, reference=evil),),
        skipped=(Skipped(what=evil, why=evil),),
    )
    page = render(data)
    assert page.count("<script>") == 1
    assert evil in Page(page).text


@pytest.mark.parametrize(
    "place",
    ["/home/somebody/work/net.py", "C:\\Users\\somebody\\net.py", "file:///home/somebody/net.py", "~/somebody/net.py"],
)
def test_absolute_paths_are_cut_to_the_last_part(place):
    page = render(sample(command=f"torchport deploy {place}:build -o out/net.tport", source={"file": place}))
    assert "somebody" not in page
    assert "torchport deploy net.py:build -o out/net.tport" in Page(page).text


def test_relative_paths_units_and_addresses_stay():
    words = "items/s, out/net.tport, and/or, 3/4, see https://example.org/a/b"
    assert words in Page(render(sample(facts=(words,)))).text


def test_the_charts_are_well_formed_and_show_every_measured_candidate():
    drawings = [ElementTree.fromstring(svg) for svg in re.findall(r"<svg.*?</svg>", render(sample()), flags=re.S)]
    assert len(drawings) == 2
    for drawing in drawings:
        words = " ".join(text.text or "" for text in drawing.iter("text"))
        assert all(c.id in words for c in candidates() if c.latency_ms)
        assert "eager PyTorch" in words and "ncnn" not in words
        width, height = map(float, drawing.attrib["viewBox"].split()[2:])
        assert all(
            0 <= float(dot.attrib["cx"]) <= width and 0 <= float(dot.attrib["cy"]) <= height
            for dot in drawing.iter("circle")
        )


def test_labels_of_the_scatter_do_not_cover_each_other():
    drawing = ElementTree.fromstring(re.findall(r"<svg.*?</svg>", render(sample()), flags=re.S)[0])
    labels = [(float(t.attrib["x"]), float(t.attrib["y"])) for t in drawing.iter("text") if "fp" in (t.text or "")]
    assert all(abs(y - v) >= 12 or abs(x - u) >= 80 for i, (x, y) in enumerate(labels) for u, v in labels[i + 1 :])


def test_an_unwritable_place_is_an_error_that_leaves_nothing(tmp_path):
    with pytest.raises(OutputError, match="cannot write"):
        write(tmp_path / "missing" / "report.html", sample())
    (tmp_path / "taken").mkdir()
    with pytest.raises(OutputError, match="cannot write"):
        write(tmp_path / "taken", sample())
    assert [p.name for p in tmp_path.iterdir()] == ["taken"]


def test_an_unknown_language_is_refused():
    with pytest.raises(UsageError, match="it speaks en"):
        render(sample(), "tlh")


def test_the_environment_is_readable():
    text = Page(render(sample())).text
    assert "cpu AMD EPYC 9B14" in text and "usable cores 2" in text and "memory 16 GB" in text
    assert "instruction sets avx2, avx512f, avx512_vnni" in text
    assert f"weights.sha256 {'9f2c' * 16}" in text


def test_wrong_and_differing_items_come_first():
    text = Page(render(sample())).text
    assert text.index("photo_01.jpg") < text.index("photo_02.jpg") < text.index("photo_00.jpg")


def test_a_reason_holds_nothing_of_an_interpreters_inner_text():
    inner = (
        "RuntimeError: no kernel for aten::unfold\n\nWhile executing %unfold : [num_users=1] = "
        "call_function[target=torch.ops.aten.unfold.default](args = (%x, 2, 3, 1))"
    )
    odd = "needs a <class 'torch.fx.passes.Partitioner'> object at 0x7f1c2e90; executorch.exir.error.InternalError: no"
    rows = (replace(candidates()[-1], reason=inner, notes=(odd,)), *candidates()[:2])
    text = Page(render(sample(choice=choice(candidates=rows), skipped=(Skipped(what="x", why=inner),)))).text
    assert text.count("RuntimeError: no kernel for aten::unfold") == 2
    assert "needs a Partitioner; InternalError: no" in text
    assert not re.search(r"While executing|num_users|0x7f|<class|exir\.", text)


def test_no_label_of_the_bars_is_crossed_by_a_dot_or_a_line():
    drawing = ElementTree.fromstring(re.findall(r"<svg.*?</svg>", render(sample()), flags=re.S)[1])
    marks = [(float(dot.attrib["cx"]), float(dot.attrib["cy"])) for dot in drawing.iter("circle")]
    marks += [
        (float(line.attrib["x2"]), float(line.attrib["y2"]))
        for line in drawing.iter("line")
        if line.attrib["class"] == "spread"
    ]
    labels = [(float(t.attrib["x"]), float(t.attrib["y"]) - 4) for t in drawing.iter("text") if "p90" in (t.text or "")]
    assert len(labels) == 8 and all(x > at + 2.5 for x, y in labels for at, height in marks if abs(height - y) < 1)


@pytest.mark.skipif(shutil.which("chromium") is None, reason="no browser here")
def test_a_browser_of_1280_pixels_shows_every_column(tmp_path):
    """With names as long as a search makes them, nothing has to be scrolled sideways to be read."""
    long, words = (
        "onnx-prune@0.5+distil+int8_static+bf16_stateless",
        "top-1 80 % on 20 items is 4.2 points below the 84.2 % asked for; " * 4,
    )
    rows = tuple(
        replace(
            c,
            id=f"{c.target}-{long}",
            recipe=long.partition("-")[2],
            precision="int8_static+bf16_stateless",
            reason=words,
            notes=(words,),
            parity_of=long,
            distance=Distance(max_rel=0.1, snr_db=20.0),
        )
        for c in candidates()
    )
    page = render(
        sample(
            choice=choice(candidates=rows, chosen=rows[0].id, chosen_for={"python": rows[0].id}),
            pictures=pictures() * 6,
        )
    )
    ask = (
        "<script>document.title = [...document.querySelectorAll('.scroll, .chart, body')].map(e => e.scrollWidth - "
        "e.clientWidth).join(' ')</script></body>"
    )
    (tmp_path / "report.html").write_text(page.replace("</body>", ask), "utf-8")
    switches = [
        "--headless",
        "--no-sandbox",
        "--disable-gpu",
        "--no-first-run",
        "--disable-background-networking",
        "--disable-component-update",
        "--disable-sync",
        "--window-size=1280,3000",
        "--dump-dom",
    ]
    done = subprocess.run(
        ["chromium", *switches, f"--user-data-dir={tmp_path / 'profile'}", tmp_path / "report.html"],
        capture_output=True,
        text=True,
        timeout=120,
        check=True,
    )
    over = re.search(r"<title>([\d -]+)</title>", done.stdout)
    assert over and len(over[1].split()) >= 6 and max(map(int, over[1].split())) <= 0, over
