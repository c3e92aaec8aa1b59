"""Weights of another spelling, form or precision than the model's: taken where they mean the same, refused where they
do not.
"""

from __future__ import annotations

import functools
from pathlib import Path
from typing import Any

import pytest
import torch
from loops import Net, holds, opened, trained, under
from safetensors.torch import save_file
from torch.nn.utils import parametrizations

from torchport.errors import TorchportError, WeightsError
from torchport.frontend import open_source

# Names that change with the form of a norm, and with a model's own hooks.


def normed(kind: str) -> torch.nn.Module:
    net = Net()
    old = {"weight_norm": torch.nn.utils.weight_norm, "spectral_norm": torch.nn.utils.spectral_norm}
    new = {"weight_norm": parametrizations.weight_norm, "spectral_norm": parametrizations.spectral_norm}
    form, name = kind.split(" ")
    (old if form == "old" else new)[name](net.head)
    net(torch.randn(8, 10))
    return net


@pytest.mark.filterwarnings("ignore:.*weight_norm. is deprecated:FutureWarning")
@pytest.mark.parametrize("name", ["weight_norm", "spectral_norm"])
@pytest.mark.parametrize("saved", ["old", "new"])
@pytest.mark.parametrize("built", ["old", "new"])
@pytest.mark.parametrize("prefix", ["", "module."])
def test_norms_of_either_form_take_weights_of_the_other(
    tmp_path: Path, name: str, saved: str, built: str, prefix: str
) -> None:
    original, x = normed(f"{saved} {name}").eval(), torch.randn(4, 10)
    torch.save({"model": under(prefix, original.state_dict())}, tmp_path / "w.pt")
    with torch.no_grad():
        source = opened(tmp_path / "w.pt", lambda: normed(f"{built} {name}"))
        torch.testing.assert_close(source.module(x), original(x))


@pytest.mark.filterwarnings("ignore:.*weight_norm. is deprecated:FutureWarning")
@pytest.mark.parametrize("kind", ["old weight_norm", "old spectral_norm", "new weight_norm", "new spectral_norm"])
def test_a_module_with_a_norm_is_copied_after_training(kind: str) -> None:
    net, x = normed(kind), torch.randn(4, 10)
    net(x).sum().backward()
    before = {name: tensor.clone() for name, tensor in net.state_dict().items()}
    source = open_source(net)
    with torch.no_grad():
        torch.testing.assert_close(source.module(x), copy_of(net, kind)(x))
    assert net.training and all(torch.equal(tensor, before[name]) for name, tensor in net.state_dict().items())
    assert all(parameter.requires_grad for parameter in net.parameters())


def copy_of(net: torch.nn.Module, kind: str) -> torch.nn.Module:
    """The same model by way of its state dict."""
    other = normed(kind).eval()
    other.load_state_dict(net.state_dict())
    return other


class Keeps(Net):
    """Keeps tensors of its last pass, as recurrent and visualised models do."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        self.last, self.all = self.body(x), {"maps": [self.body(x)]}
        return self.head(self.last)


def test_a_module_that_keeps_tensors_of_its_last_pass_is_copied() -> None:
    net, x = Keeps(), torch.randn(4, 10)
    net(x)
    source = open_source(net)
    assert torch.equal(source.module(x), net.eval()(x)) and source.module is not net


def test_a_module_that_cannot_be_copied_is_refused_in_a_line() -> None:
    import threading

    net = Net()
    net.lock = threading.Lock()
    with pytest.raises(TorchportError, match=r"Net cannot be copied: TypeError.*lock.*file.py:Name"):
        open_source(net)


class Renames(Net):
    """Renames what older versions of it were saved with."""

    def _load_from_state_dict(self, state: Any, prefix: str, *rest: Any) -> None:
        for name in [name for name in state if name.startswith(f"{prefix}classifier.")]:
            state[name.replace("classifier.", "head.")] = state.pop(name)
        state.pop(f"{prefix}position_ids", None)
        super()._load_from_state_dict(state, prefix, *rest)


class Hooked(Net):
    def __init__(self) -> None:
        super().__init__()
        self.register_load_state_dict_pre_hook(self._renamed)

    @staticmethod
    def _renamed(module: torch.nn.Module, state: Any, prefix: str, *rest: Any) -> None:
        for name in list(state):
            state[name.replace("old_", "")] = state.pop(name)


@pytest.mark.parametrize("prefix", ["", "module.", "model."])
@pytest.mark.parametrize("entry", ["", "state_dict"])
def test_what_a_models_own_hooks_rename_is_loaded(tmp_path: Path, prefix: str, entry: str) -> None:
    state = trained()
    for kind, names in ((Renames, {"head": "classifier"}), (Hooked, {"head": "old_head", "body": "old_body"})):
        renamed = {
            functools.reduce(lambda name, pair: name.replace(*pair), names.items(), name): tensor
            for name, tensor in state.items()
        }
        renamed |= {"position_ids": torch.arange(3)} if kind is Renames else {}
        torch.save({entry: under(prefix, renamed)} if entry else under(prefix, renamed), tmp_path / "w.pt")
        holds(opened(tmp_path / "w.pt", kind), state)


class Versioned(torch.nn.Module):
    """Reads the version that its state dict carries, and state beside tensors."""

    _version = 3

    def __init__(self) -> None:
        super().__init__()
        self.weight, self.seen, self.scale = torch.nn.Parameter(torch.zeros(2)), None, 1.0

    def get_extra_state(self) -> dict[str, float]:
        return {"scale": self.scale}

    def set_extra_state(self, state: dict[str, float]) -> None:
        self.scale = state["scale"]

    def _load_from_state_dict(self, state: Any, prefix: str, metadata: Any, *rest: Any) -> None:
        self.seen = metadata.get("version")
        super()._load_from_state_dict(state, prefix, metadata, *rest)


@pytest.mark.parametrize("form", ["archive", "older"])
def test_versions_and_state_beside_tensors_are_loaded(tmp_path: Path, form: str) -> None:
    first = torch.nn.ModuleDict({"inner": Versioned()})
    first["inner"].scale = 4.0
    torch.save(
        {"model": torch.nn.DataParallel(first).state_dict()},
        tmp_path / "w.pt",
        _use_new_zipfile_serialization=form == "archive",
    )
    inner = opened(tmp_path / "w.pt", lambda: torch.nn.ModuleDict({"inner": Versioned()})).module["inner"]
    assert (inner.seen, inner.scale) == (3, 4.0)


# Tied tensors, and numbers of another kind.


class Tied(torch.nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.table, self.head = torch.nn.Embedding(8, 4), torch.nn.Linear(4, 8, bias=False)
        self.head.weight = self.table.weight

    def forward(self, ids: torch.Tensor) -> torch.Tensor:
        return self.head(self.table(ids))


@pytest.mark.parametrize("left", ["table.weight", "head.weight", ""])
def test_tied_tensors_need_be_there_once(tmp_path: Path, left: str) -> None:
    values = torch.randn(8, 4)
    save_file(
        {name: values.clone() for name in ("table.weight", "head.weight") if name != left}, tmp_path / "w.safetensors"
    )
    module = opened(tmp_path / "w.safetensors", Tied).module
    assert torch.equal(module.head.weight, values) and module.head.weight is module.table.weight


def test_two_values_for_one_tied_tensor_are_refused(tmp_path: Path) -> None:
    path, values = tmp_path / "w.pt", torch.randn(8, 4)
    torch.save({"table.weight": values, "head.weight": values + 1}, path)
    with pytest.raises(
        WeightsError,
        match=r"two values for one tensor of Tied: table.weight and head.weight are tied there, and differ in the "
        r"file; .*--drop table.weight",
    ):
        opened(path, Tied)
    assert torch.equal(opened(path, Tied, drop=("head.weight",)).module.head.weight, values)


def test_a_model_without_values_takes_those_of_the_file(tmp_path: Path) -> None:
    state = trained()
    torch.save({n: t.half() if t.is_floating_point() else t for n, t in state.items()}, tmp_path / "w.pt")

    def empty() -> torch.nn.Module:
        with torch.device("meta"):
            return Net()

    source = opened(tmp_path / "w.pt", empty)
    holds(source, state)
    assert source.module.head.weight.dtype == torch.float32 and not any(
        t.is_meta for t in source.module.state_dict().values()
    )
    torch.save({name: tensor for name, tensor in state.items() if "head" not in name}, tmp_path / "w.pt")
    with pytest.raises(WeightsError, match="2 missing"):
        opened(tmp_path / "w.pt", empty)


def test_quantised_weights_are_no_weights(tmp_path: Path) -> None:
    torch.save({**trained(), "head.weight": torch.ones(3, 16, dtype=torch.int8)}, tmp_path / "w.pt")
    with pytest.raises(
        WeightsError, match=r"head.weight is int8, the model's is float32; give the weights before they were quantised"
    ):
        opened(tmp_path / "w.pt")


@pytest.mark.parametrize("kind", [torch.float16, torch.bfloat16])
def test_a_model_in_half_precision_runs_as_float32_and_says_so(kind: torch.dtype) -> None:
    class Casts(Net):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return super().forward(x.to(kind))

    for model in (Net, Casts):
        net = model().to(kind).eval()
        source = open_source(net)
        assert f"the model is {str(kind)[6:]}: its weights run as float32" in source.notes[0]
        assert net.head.weight.dtype == kind and source.module.head.weight.dtype == torch.float32
        x = torch.randn(2, 10)
        for given in (x, x.to(kind)):
            torch.testing.assert_close(source.module(given).float(), net(x.to(kind)).float(), rtol=0.05, atol=0.05)
