"""A task of several graphs, from the source to the Bundle: split, driven, streamed, verified call by call, timed as a
whole.
"""

from __future__ import annotations

import os
from pathlib import Path

import pytest

import torchport
from torchport.bundle import Bundle
from torchport.errors import BadInput, BundleError, UsageError
from torchport.predict import Predictor
from torchport.tasks import tasks
from torchport.verification import verify

PLUGIN = Path(__file__).parent / "plugin"


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("counter")
    (folder / "words.txt").write_text("a b c d e")
    (folder / "data").mkdir()
    for i, text in enumerate(("a b c", "e d", "b b b a c", "")):
        (folder / "data" / f"{i}.txt").write_text(text)
    return folder


@pytest.fixture(scope="module")
def known():
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(PLUGIN)
        patch.setenv("PYTHONPATH", str(PLUGIN), prepend=os.pathsep)  # timing happens in processes that know of no patch
        from counter_task import Counter

        with tasks.using("counter", Counter()):
            yield


@pytest.fixture(scope="module")
def bundle(place: Path, known: None, timed: None) -> Path:
    import torch
    from torch import nn

    class Encoder(nn.Module):
        def __init__(self):
            super().__init__()
            self.words = nn.Embedding(5, 4)

        def forward(self, ids):
            return {"hidden": self.words(ids).mean(1)}

    class StepModule(nn.Module):
        def __init__(self):
            super().__init__()
            self.cell = nn.Linear(8, 4)

        def forward(self, hidden, state):
            new = torch.tanh(self.cell(torch.cat([hidden, state], 1))) * 3
            return {"state_out": new, "digit": new.argmax(1)}

    class Model(nn.Module):
        def __init__(self):
            super().__init__()
            torch.manual_seed(3)
            self.encoder, self.step = Encoder(), StepModule()
            self.torch = torch

        def __deepcopy__(self, memo):
            return self

    output = place / "counter.tport"
    with pytest.warns(RuntimeWarning, match=r"1 of 4 items cannot be used and are left out \(3.txt"):
        torchport.deploy(
            Model(),
            output,
            task="counter",
            settings={"words": str(place / "words.txt")},
            data=place / "data",
            targets=["onnx", "pt2"],
            keep="all",
            golden=2,
        )
    return output


def test_every_graph_is_held_against_the_reference_call_by_call(bundle: Path) -> None:
    with Bundle(bundle) as opened:
        manifest = opened.manifest
        assert list(manifest.graphs) == ["encoder", "step"]
        assert manifest.graphs["encoder"].dims["length"].max == 64
        for candidate in manifest.evidence.candidates:
            stages = {output.stage: output.items for output in candidate.parity.outputs}
            assert stages["encoder"] == 3
            assert stages["step"] == 3 * 3
        assert verify(opened, trusted=True).ok


def test_the_whole_chain_is_timed_beside_the_eager_one(bundle: Path) -> None:
    with Bundle(bundle) as opened:
        assert all(candidate.latency_ms for candidate in opened.manifest.evidence.candidates)
        assert opened.manifest.evidence.reference.latency_ms
        assert set(opened.manifest.reference.graphs) == {"encoder", "step"}
    choice, reference = torchport.bench(bundle)
    assert choice.chosen == "onnx-fp32"
    assert reference.measured == "now"


def test_a_file_among_the_facts_goes_along(bundle: Path, place: Path, tmp_path: Path) -> None:
    with Bundle(bundle) as opened:
        assert opened.manifest.task.facts["words"] == {"file": "assets/words.txt"}
        assert opened.facts().words == bundle / "assets/words.txt"
    assert str(place) not in (bundle / "torchport.json").read_text("utf-8")
    zipped = tmp_path / "one.tport"
    from torchport.jobs.pack import PackOptions, repack

    with Bundle(bundle) as opened:
        repack(opened, zipped, PackOptions(as_zip=True))
    with Predictor(zipped) as predictor:
        assert predictor.predict(b"a b c")["digits"]
    (bundle / "assets/words.txt").write_text("a b c e d")
    with pytest.raises(BundleError, match="damaged"):
        Predictor(bundle)
    (bundle / "assets/words.txt").write_text("a b c d e")


def test_parts_of_an_answer_come_before_the_whole(bundle: Path) -> None:
    with Predictor(bundle) as predictor:
        running, parts = predictor.stream(b"c d"), []
        try:
            while True:
                parts.append(next(running)["delta"])
        except StopIteration as done:
            result = done.value
        assert parts == [str(digit) for digit in result["digits"]]
        assert len(parts) == 5
        assert result == predictor.predict(b"c d")
        with pytest.raises(BadInput, match="empty"):
            predictor.predict(b"")
        with pytest.raises(UsageError, match="takes whole inputs"):
            predictor.session()


def test_what_is_drawn_is_saved_under_the_inputs_name(bundle: Path, tmp_path: Path) -> None:
    from torchport.cli.files import Drawer

    with Predictor(bundle) as predictor:
        drawn = predictor.drawn(predictor.values(b"a b"))
    folder = Drawer(tmp_path / "out", 2)
    assert [path.name for name in ("x/cat.png", "y/cat.jpg") for path in folder.write(name, drawn)] == [
        "cat.txt",
        "cat-2.txt",
    ]
    assert [path.name for path in Drawer(tmp_path / "one.txt", 1).write("cat.png", drawn)] == ["one.txt"]
    with pytest.raises(BadInput, match=r"is a \.txt file, not \.wav"):
        Drawer(tmp_path / "one.wav", 1).write("cat.png", drawn)
    with pytest.raises(BadInput, match="nothing to save"):
        folder.write("cat.png", {})
