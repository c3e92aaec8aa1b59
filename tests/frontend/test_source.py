"""Every kind of source opens, and everything that is wrong with one is said in a line."""

from __future__ import annotations

import json
import os
import pickle
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from torchport.errors import BadInput, CaptureError, UnsafeFile, UsageError, WeightsError
from torchport.frontend import capture_graph, open_source
from torchport.frontend.safe import load_scripted
from torchport.frontend.script import to_archive
from torchport.types import Bound

NET = """
import torch

class SimpleNet(torch.nn.Module):
    def __init__(self, hidden=5, num_classes=2, note="none"):
        super().__init__()
        self.fc1, self.fc2, self.note = torch.nn.Linear(10, hidden), torch.nn.Linear(hidden, num_classes), note

    def forward(self, x):
        return self.fc2(torch.relu(self.fc1(x)))

def make(**options):
    torch.manual_seed(3)
    return SimpleNet(**options)

def breaks():
    print("building")
    return SimpleNet(hidden="five")

def gives_numbers():
    return [1, 2]

def needs(depth):
    return SimpleNet(depth)

def uses_neighbour():
    import {neighbour}
    return {neighbour}.build(SimpleNet)

ready = SimpleNet()
number = 3
"""


@pytest.fixture
def net(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> Path:
    """A file with a network, in the current folder, under a module name of this test's own."""
    stem = f"net_{abs(hash(request.node.name))}"
    path = tmp_path / f"{stem}.py"
    path.write_text(NET.replace("{neighbour}", f"near_{stem}"))
    (tmp_path / f"near_{stem}.py").write_text("def build(kind):\n    return kind()\n")
    monkeypatch.chdir(tmp_path)
    return path


@pytest.mark.parametrize(
    "form", ["{stem}:make", "{stem}.py:make", "{stem}.py:SimpleNet", "{stem}:ready", "{folder}/{stem}.py:make"]
)
def test_python_by_module_and_by_file(net: Path, form: str) -> None:
    before = list(sys.path)
    source = open_source(form.format(stem=net.stem, folder=net.parent))
    assert sys.path == before
    assert source.module is not None
    assert not source.module.training
    assert not any(parameter.requires_grad for parameter in source.module.parameters())
    assert source.input_names() == ["x"]
    assert source.provenance["parameters"] == 67
    assert source.provenance["kind"] == "python"
    assert str(net.parent) not in json.dumps(source.provenance)
    assert source.name == form.format(stem=net.stem, folder="").lstrip("/")


def test_arguments_are_json_or_text(net: Path) -> None:
    source = open_source(f"{net.name}:make", args={"num_classes": "7", "note": "two words"})
    assert source.module is not None
    assert source.module(torch.zeros(1, 10)).shape == (1, 7)
    assert source.module.note == "two words"
    assert source.provenance["arguments"] == {"num_classes": 7, "note": "two words"}


def test_paths_among_the_arguments_are_not_kept(net: Path) -> None:
    source = open_source(f"{net.name}:make", args={"note": str(net.with_name("settings.yaml"))})
    assert source.provenance["arguments"] == {"note": "settings.yaml"}


def test_the_same_weights_have_the_same_hash(net: Path) -> None:
    one, two = open_source(f"{net.name}:make"), open_source(f"{net.stem}:make")
    other = open_source(f"{net.name}:make", args={"num_classes": "3"})
    assert one.provenance["weights_sha256"] == two.provenance["weights_sha256"] != other.provenance["weights_sha256"]


def test_the_folder_of_the_file_is_importable_while_it_builds(
    net: Path, monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory
) -> None:
    monkeypatch.chdir(tmp_path_factory.mktemp("elsewhere"))
    assert open_source(f"{net}:uses_neighbour").module is not None


def test_a_file_may_be_called_like_a_module_in_use(tmp_path: Path) -> None:
    path = tmp_path / "json.py"
    path.write_text("import torch\n\ndef make():\n    return torch.nn.Linear(2, 2)\n")
    assert open_source(f"{path}:make").module is not None
    assert sys.modules["json"] is json


def test_a_file_may_have_any_name(tmp_path: Path) -> None:
    path = tmp_path / "2 réseaux, 猫.py"
    path.write_text("import torch\n\nclass Net(torch.nn.Module):\n    def forward(self, x):\n        return x + 1\n")
    module = open_source(f"{path}:Net").module
    assert module is not None
    (tmp_path / "net.pt").write_bytes(to_archive(torch.jit.script(module)))
    assert load_scripted(tmp_path / "net.pt")(torch.ones(1)) == 2


@pytest.mark.parametrize(
    ("form", "message", "hint"),
    [
        ("{stem}:nothing", "there is no 'nothing' in {stem}", "SimpleNet"),
        ("{stem}.py:mak", "there is no 'mak'", "did you mean make"),
        ("{stem}_missing:make", "there is no module '{stem}_missing'", "file.py:Name"),
        ("missing.py:make", "there is no file 'missing.py'", "check the path"),
        ("{stem}:breaks", "{stem}.py:7 in __init__: self.fc1", "fix that line"),
        ("{stem}:gives_numbers", "gave a list, not a torch.nn.Module", "returns the model"),
        ("{stem}:number", "is a int, not a class", "returns the model"),
        ("{stem}:needs", "cannot be called: missing a required argument: 'depth'", "--arg"),
        ("nowhere.pt2", "there is no 'nowhere.pt2'", "TorchScript"),
        ("{stem}", "there is no '{stem}'", "package.module:name"),
    ],
)
def test_what_python_can_get_wrong(
    net: Path, form: str, message: str, hint: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises((CaptureError, BadInput)) as caught:
        open_source(form.format(stem=net.stem))
    assert message.format(stem=net.stem) in caught.value.message
    assert hint in caught.value.hint
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("import torch\nx = 1 / 0\n", "bad.py:2"),
        ("def f(:\n", "bad.py:1"),
        ("import surely_not_installed_here\n", "bad.py:1"),
        ("raise SystemExit(3)\n", "bad.py:1"),
    ],
)
def test_files_that_cannot_be_imported(tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "bad.py").write_text(text)
    with pytest.raises(CaptureError, match=r"importing bad\.py failed at") as caught:
        open_source(f"{tmp_path / 'bad.py'}:Net")
    assert message in caught.value.message


def test_options_for_what_takes_none(net: Path) -> None:
    with pytest.raises(UsageError, match="takes no --arg"):
        open_source(f"{net.stem}:ready", args={"hidden": "3"})
    with pytest.raises(UsageError, match="needs the name") as caught:
        open_source(net.name)
    assert f"{net.name}:SimpleNet" in caught.value.hint


def state(net: Path) -> dict[str, torch.Tensor]:
    module = open_source(f"{net.stem}:make").module
    assert module is not None
    return {name: tensor + 1 for name, tensor in module.state_dict().items()}


@pytest.mark.parametrize("suffix", ["pt", "safetensors"])
def test_weights(net: Path, suffix: str) -> None:
    tensors, path = state(net), net.with_name(f"w.{suffix}")
    save_file(tensors, path) if suffix == "safetensors" else torch.save({"state_dict": tensors}, path)
    source = open_source(f"{net.stem}:make", weights=path)
    assert source.module is not None
    assert all(torch.equal(tensor, tensors[name]) for name, tensor in source.module.state_dict().items())
    assert source.provenance["weights"] == path.name


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda s: {"fc1.weight": s["fc1.weight"]}, r"3 missing \(fc1.bias, fc2.weight, fc2.bias\)"),
        (lambda s: {**s, "head.weight": torch.zeros(1)}, r"1 unexpected \(head.weight\)"),
        (lambda s: {**s, "fc2.weight": torch.zeros(3, 5)}, r"1 mis-shaped \(fc2.weight: \[3, 5\] for \[2, 5\]\)"),
        (lambda s: {f"model.{k}": v for k, v in s.items() if k != "fc2.bias"}, r"1 missing \(fc2.bias\)"),
    ],
)
def test_weights_that_do_not_fit(net: Path, change: Callable[[dict], dict], message: str) -> None:
    torch.save(change(state(net)), net.with_name("w.pt"))
    with pytest.raises(WeightsError, match=message) as caught:
        open_source(f"{net.stem}:make", weights=net.with_name("w.pt"))
    assert "w.pt does not fit SimpleNet" in caught.value.message


class Evil:
    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self) -> tuple[Callable[[str], int], tuple[str]]:
        return os.system, (f"touch {self.mark}",)


def test_weights_with_code_are_never_run(net: Path) -> None:
    mark, path = net.with_name("owned"), net.with_name("evil.pt")
    path.write_bytes(pickle.dumps(Evil(mark)))
    with pytest.raises(UnsafeFile, match="never executed"):
        open_source(f"{net.stem}:make", weights=path)
    assert not mark.exists()


def test_weights_alone_are_no_model(net: Path) -> None:
    torch.save(state(net), net.with_name("w.pt"))
    with pytest.raises(BadInput, match=r"'w\.pt' is weights") as caught:
        open_source(str(net.with_name("w.pt")))
    assert "--weights w.pt" in caught.value.hint
    net.with_name("notes.txt").write_text("hello")
    with pytest.raises(BadInput, match="holds no model"):
        open_source("notes.txt")


def test_an_eager_module_is_copied(net: Path) -> None:
    mine = torch.nn.Linear(4, 2)
    source = open_source(mine)
    assert mine.training
    assert mine.weight.requires_grad
    assert source.provenance["name"] == "linear:Linear"
    assert source.module is not mine


def test_torchscript_and_exported_files(net: Path) -> None:
    module = open_source(f"{net.stem}:make").module
    assert module is not None
    torch.jit.script(module).save("scripted.pt")
    torch.export.save(torch.export.export(module, (torch.zeros(2, 10),)), "exported.pt2")
    scripted, exported = open_source("scripted.pt"), open_source("exported.pt2")
    assert isinstance(scripted.module, torch.jit.ScriptModule)
    assert scripted.input_names() == exported.input_names() == ["x"]
    assert exported.module is None
    assert exported.exported is not None
    assert scripted.provenance["parameters"] == exported.provenance["parameters"] == 67
    assert scripted.provenance["weights_sha256"] == exported.provenance["weights_sha256"]
    with pytest.raises(UsageError, match="has its weights inside"):
        open_source("exported.pt2", weights=Path("w.pt"))
    with pytest.raises(UsageError, match="built already"):
        open_source("scripted.pt", args={"a": "1"})


def test_timm_configurations_become_facts(net: Path) -> None:
    module = torch.nn.Linear(2, 2)
    module.pretrained_cfg = {
        "input_size": (3, 224, 224),
        "crop_pct": 0.9,
        "interpolation": "bicubic",
        "mean": (0.5, 0.5, 0.5),
        "std": (0.25, 0.25, 0.25),
    }
    assert open_source(module).facts == {
        "resize": 248,
        "crop": 224,
        "interpolation": "bicubic",
        "mean": [0.5, 0.5, 0.5],
        "std": [0.25, 0.25, 0.25],
    }


transformers_noise = pytest.mark.filterwarnings(
    "ignore::DeprecationWarning", "ignore::FutureWarning", "ignore::UserWarning"
)


@pytest.fixture
def bert(tmp_path: Path) -> Path:
    transformers = pytest.importorskip("transformers")
    config = transformers.BertConfig(
        hidden_size=16,
        num_hidden_layers=1,
        num_attention_heads=2,
        intermediate_size=16,
        vocab_size=50,
        id2label={0: "bad", 1: "good"},
    )
    transformers.BertForSequenceClassification(config).save_pretrained(tmp_path / "tiny bert")
    return tmp_path / "tiny bert"


@transformers_noise
def test_hugging_face_folder(bert: Path) -> None:
    source = open_source(str(bert))
    assert source.module is not None
    assert source.name == "tiny bert"
    assert source.facts == {"labels": ["bad", "good"], "activation": "softmax"}
    assert (source.input_names() or [])[:2] == ["input_ids", "attention_mask"]
    feed = {"input_ids": np.arange(14).reshape(2, 7), "attention_mask": np.ones((2, 7), np.int64)}
    dims = {name: {0: "batch", 1: "length"} for name in feed}
    graph = capture_graph("model", source.module, feed, dims=dims, bounds={"length": Bound(max=64)})
    assert graph.exported is not None
    assert [(spec.name, spec.shape) for spec in graph.signature.outputs] == [("logits", ("batch", 2))]
    assert graph.signature.dims["length"].max == 64
    other = torch.arange(5).reshape(1, 5), torch.ones(1, 5, dtype=torch.int64)
    got = graph.exported.module()(*other)
    assert type(got) is dict
    torch.testing.assert_close(got["logits"], source.module(*other).logits)


@transformers_noise
def test_a_hugging_face_folder_in_half_precision_runs_as_float32(bert: Path) -> None:
    import transformers

    transformers.BertForSequenceClassification.from_pretrained(bert).half().save_pretrained(bert)
    source = open_source(str(bert))
    assert source.module is not None and {parameter.dtype for parameter in source.module.parameters()} == {
        torch.float32
    }
    assert source.notes == ("tiny bert: weights of float16 run as float32",) == tuple(source.provenance["notes"])


@transformers_noise
def test_hugging_face_folders_that_are_incomplete(bert: Path) -> None:
    weights = bert / "model.safetensors"
    from safetensors.torch import load_file

    tensors = load_file(weights)
    save_file(
        {name: tensor for name, tensor in tensors.items() if "classifier" not in name},
        weights,
        metadata={"format": "pt"},
    )
    with pytest.raises(
        WeightsError, match=r"lack 2 keys of BertForSequenceClassification \(classifier.bias, classifier.weight\)"
    ):
        open_source(str(bert))
    weights.write_bytes(weights.read_bytes()[:100])
    with pytest.raises(CaptureError, match="cannot load tiny bert"):
        open_source(str(bert))
    config = json.loads((bert / "config.json").read_text())
    (bert / "config.json").write_text(json.dumps({**config, "architectures": ["TheirOwnModel"]}))
    with pytest.raises(CaptureError, match="has no 'TheirOwnModel'"):
        open_source(str(bert))
    (bert / "config.json").write_text("{")
    with pytest.raises(BadInput, match=r"tiny bert/config\.json cannot be read"):
        open_source(str(bert))


@transformers_noise
def test_pickled_hugging_face_weights_with_code_are_never_run(bert: Path) -> None:
    mark = bert / "owned"
    (bert / "model.safetensors").unlink()
    torch.save({"a": Evil(mark)}, bert / "pytorch_model.bin")
    with pytest.raises(CaptureError, match="cannot load"):
        open_source(str(bert))
    assert not mark.exists()
