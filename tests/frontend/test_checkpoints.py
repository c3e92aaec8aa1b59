"""Checkpoints as training loops leave them: the right weights go into the model, and what was taken or left is said in
a line.
"""

from __future__ import annotations

import json
import pathlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from loops import HYPER, Config, Net, State, averaged, holds, lightning, opened, optimizer, trained, under, zeros
from safetensors.torch import save_file

from torchport.errors import BadInput, UsageError, WeightsError
from torchport.frontend import open_source

FILES: dict[str, tuple[Callable[[State], Any], str]] = {
    "plain": (lambda s: s, ""),
    "data_parallel": (lambda s: under("module.", s), "prefix 'module.' taken off"),
    "compiled": (lambda s: under("_orig_mod.", s), "prefix '_orig_mod.' taken off"),
    "compiled_parallel": (
        lambda s: {"model": under("module._orig_mod.", s), "epoch": 1},
        "entry 'model', prefix 'module._orig_mod.' taken off",
    ),
    "parallel_compiled": (lambda s: {"model_state": under("_orig_mod.module.", s)}, "entry 'model_state'"),
    "lightning": (
        lambda s: lightning(under("model.", s), hyper_parameters={"lr": 1e-3}),
        "entry 'state_dict', prefix 'model.' taken off",
    ),
    "lightning_loss": (
        lambda s: lightning({**under("net._orig_mod.", s), "criterion.weight": torch.ones(3)}),
        "1 tensor beside the model left out (state_dict.criterion.weight)",
    ),
    "lightning_objects": (
        lambda s: lightning(
            under("model.", s),
            hyper_parameters=HYPER,
            callbacks={"ModelCheckpoint": {"best_model_path": pathlib.PosixPath("/x")}},
        ),
        "argparse.Namespace",
    ),
    "averaged": (averaged, "prefix 'module.' taken off"),
    "timm": (
        lambda s: {
            "epoch": 1,
            "arch": "net",
            "state_dict": zeros(s),
            "state_dict_ema": s,
            "optimizer": optimizer(),
            "args": HYPER["args"],
            "metric": 0.5,
        },
        "'state_dict_ema'",
    ),
    "basicsr": (lambda s: {"params": zeros(s), "params_ema": s}, "'params_ema'"),
    "ema_pytorch": (
        lambda s: {
            "initted": torch.tensor(True),
            "step": torch.tensor(3),
            **under("online_model.", zeros(s)),
            **under("ema_model.", s),
        },
        "'ema_model'",
    ),
    "lightning_swa": (lambda s: lightning(under("model.", zeros(s)), swa_state=averaged(s)), "'swa_state'"),
    "imagenet": (
        lambda s: {
            "epoch": 3,
            "arch": "net",
            "state_dict": under("module.", s),
            "best_acc1": torch.tensor(76.1),
            "optimizer": optimizer(),
            "scheduler": {"last_epoch": 3},
        },
        "entry 'state_dict'",
    ),
    "net": (lambda s: {"net": s, "acc": 91.2, "epoch": 12}, "entry 'net'"),
    "model_state_dict": (
        lambda s: {"model_state_dict": s, "optimizer_state_dict": optimizer(), "loss": torch.tensor(0.3)},
        "entry 'model_state_dict'",
    ),
    "list": (lambda s: [12, s, optimizer()], "entry '1'"),
    "gan": (lambda s: {"netG": s, "netD": {"conv.weight": torch.ones(3, 3)}, "optG": optimizer()}, "entry 'netG'"),
    "generator_ema": (lambda s: {"g": zeros(s), "d": {"w": torch.ones(2)}, "g_ema": s}, "'g_ema'"),
    "fsdp": (
        lambda s: {
            "model": {
                name.replace("body.", "_fsdp_wrapped_module.body._fsdp_wrapped_module."): t for name, t in s.items()
            }
        },
        "entry 'model'",
    ),
    "part_parallel": (lambda s: {name.replace("body.", "body.module."): t for name, t in s.items()}, "prefix 'module'"),
    "deepspeed": (
        lambda s: {
            "module": s,
            "buffer_names": [],
            "ds_config": Config(a=1),
            "ds_version": "0.16",
            "param_shapes": [],
            "optimizer": None,
        },
        "entry 'module'",
    ),
    "parts": (
        lambda s: {
            "body": {n[5:]: t for n, t in s.items() if n.startswith("body.")},
            "head": {n[5:]: t for n, t in s.items() if n.startswith("head.")},
        },
        "",
    ),
    "halves": (
        lambda s: {n: t.half() if t.is_floating_point() else t for n, t in s.items()},
        "8 tensors of float16 run as float32",
    ),
    "bfloat16": (
        lambda s: {"model": {n: t.bfloat16() if t.is_floating_point() else t for n, t in s.items()}},
        "8 tensors of bfloat16 run as float32",
    ),
    "parameters": (lambda s: {n: torch.nn.Parameter(t, requires_grad=False) for n, t in s.items()}, ""),
    "own_dict": (lambda s: {"model": Config(s)}, "entry 'model'"),
    "no_counter": (lambda s: {n: t for n, t in s.items() if "num_batches" not in n}, ""),
    "twice": (lambda s: {"model": s, "state_dict": {n: t.clone() for n, t in s.items()}}, "entry 'model'"),
    "frozen_average": (
        lambda s: {
            "model": s,
            "ema": {"decay": 0.9, "shadow": {n: t for n, t in zeros(s).items() if "running" not in n}},
        },
        "'ema.shadow' are not taken, as 2 missing there",
    ),
    "average_not_begun": (
        lambda s: {"model": s, "swa_model": {**averaged(zeros(s)), "n_averaged": torch.tensor(0)}},
        "entry 'model'",
    ),
    "numpy": (lambda s: {"model": {n: t.numpy() for n, t in s.items()}}, "entry 'model'"),
}


@pytest.mark.parametrize("form", ["archive", "older"])
@pytest.mark.parametrize("name", FILES)
def test_a_checkpoint_goes_into_the_model_that_it_was_made_from(tmp_path: Path, name: str, form: str) -> None:
    make, says = FILES[name]
    state = trained()
    torch.save(make(state), tmp_path / "best.pth", _use_new_zipfile_serialization=form == "archive")
    source = opened(tmp_path / "best.pth")
    holds(source, state)
    assert says in "\n".join(source.notes), source.notes
    assert bool(source.notes) == bool(says) and all("\n" not in note for note in source.notes)
    assert source.provenance["weights"] == "best.pth" and source.provenance.get("notes", []) == list(source.notes)


@pytest.mark.parametrize(
    "wrapped",
    [
        lambda net: torch.compile(net),
        torch.nn.DataParallel,
        torch.optim.swa_utils.AveragedModel,
        lambda net: torch.compile(torch.nn.DataParallel(net)),
    ],
)
def test_a_wrapped_model_is_taken_out_of_its_wrapper(
    tmp_path: Path, wrapped: Callable[[torch.nn.Module], torch.nn.Module]
) -> None:
    state = trained()
    torch.save(state, tmp_path / "w.pt")
    source = opened(tmp_path / "w.pt", lambda: wrapped(Net()))
    holds(source, state)
    assert type(source.module) is Net and source.provenance["name"] == "loops:Net"


def test_safetensors_with_a_prefix_in_parts_and_in_folders(tmp_path: Path) -> None:
    state = trained()
    save_file(under("model.module.", state), tmp_path / "w.safetensors")
    holds(opened(tmp_path / "w.safetensors"), state)
    folder = tmp_path / "accelerate"
    folder.mkdir()
    names = list(state)
    files = {"model-00001-of-00002.safetensors": names[:4], "model-00002-of-00002.safetensors": names[4:]}
    for file, some in files.items():
        save_file({name: state[name] for name in some}, folder / file)
    index = folder / "model.safetensors.index.json"
    index.write_text(json.dumps({"weight_map": {name: file for file, some in files.items() for name in some}}))
    torch.save(optimizer(), folder / "optimizer.bin")
    for given in (folder, index):
        holds(opened(given), state)
    index.write_text(json.dumps({"weight_map": {"a": "../w.safetensors"}}))
    with pytest.raises(BadInput, match="is not an index of weights"):
        opened(index)


def test_one_set_of_several_is_named(tmp_path: Path) -> None:
    state, path = trained(), tmp_path / "best.pth"
    torch.save({"model": state, "model_ema": {"module": zeros(state)}, "d": {"w": torch.ones(3)}}, path)
    source = opened(path)
    holds(source, zeros(state))
    assert (
        source.notes[0].startswith("best.pth holds 2 sets of these weights: averaged ones are taken, 'model_ema'")
        and "--weights 'best.pth#model'" in source.notes[0]
    )
    for entry, wanted in (
        ("model", state),
        ("model_ema", zeros(state)),
        ("ema", zeros(state)),
        ("model_ema.module", zeros(state)),
    ):
        source = opened(f"{path}#{entry}")
        holds(source, wanted)
        assert source.provenance["weights"] == "best.pth" and source.provenance["weights_entry"].startswith(
            entry.replace("ema", "model_ema")[:5]
        )
    with pytest.raises(
        BadInput,
        match=r"best\.pth has no entry 'teacher'; it has 'model' \(9 tensors\), 'model_ema.module' \(9 tensors\), 'd' "
        r"\(1 tensors\)",
    ):
        opened(f"{path}#teacher")
    with pytest.raises(WeightsError, match="does not fit Net: 8 missing"):
        opened(f"{path}#d")
    with pytest.raises(BadInput, match="there is no file"):
        opened(tmp_path / "none.pth#ema")


def test_two_sets_of_which_neither_is_an_average_have_to_be_chosen_between(tmp_path: Path) -> None:
    state, path = trained(), tmp_path / "gan.pt"
    torch.save({"G": state, "D": zeros(state)}, path)
    with pytest.raises(
        WeightsError,
        match=r"holds 2 sets of weights that fit: D, G; say which: --weights 'gan.pt#D' or --weights 'gan.pt#G'",
    ):
        opened(path)
    holds(opened(f"{path}#G"), state)
    torch.save({**under("student.", state), **under("teacher.", zeros(state))}, path)
    with pytest.raises(WeightsError, match=r"gan\.pt#student"):
        opened(path)
    holds(opened(f"{path}#student"), state)


def test_a_file_may_have_a_hash_in_its_name(tmp_path: Path) -> None:
    state = trained()
    torch.save({"ema": state, "model": zeros(state)}, tmp_path / "run#3.pt")
    holds(opened(tmp_path / "run#3.pt"), state)
    holds(opened(tmp_path / "run#3.pt#model"), zeros(state))


def test_what_the_model_has_no_place_for_is_dropped_by_name(tmp_path: Path) -> None:
    state, path = trained(), tmp_path / "w.pt"
    torch.save(
        {
            "state_dict": under(
                "model.", {**state, "aux.weight": torch.ones(2), "aux.bias": torch.ones(2), "scale": torch.ones(1)}
            )
        },
        path,
    )
    with pytest.raises(
        WeightsError,
        match=r"3 unexpected \(aux.weight, aux.bias, scale\); leave out what the model has no place for: --drop aux. "
        r"--drop scale",
    ):
        opened(path)
    holds(opened(path, drop=("aux.", "scale")), state)
    holds(opened(path, drop=("state_dict.model.aux", "scale")), state)
    with pytest.raises(UsageError, match=r"--drop auxx: there is no such name in w\.pt"):
        opened(path, drop=("aux", "auxx", "scale"))
    with pytest.raises(WeightsError, match=r"2 missing \(head.weight, head.bias\)"):
        opened(path, drop=("aux.", "scale", "head"))
    with pytest.raises(UsageError, match="there are no --weights"):
        open_source(Net(), drop=("aux.",))


def test_many_unexpected_tensors_are_dropped_by_a_pattern(tmp_path: Path) -> None:
    class Deep(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layers = torch.nn.ModuleList(torch.nn.Linear(2, 2) for _ in range(5))

    state = {name: tensor + 1 for name, tensor in Deep().state_dict().items()}
    torch.save(
        {
            **state,
            **{f"layers.{i}.inv_freq": torch.ones(2) for i in range(5)},
            "layers.0.num_batches_tracked": torch.tensor(3),
        },
        tmp_path / "w.pt",
    )
    with pytest.raises(WeightsError, match=r"5 unexpected .*: --drop '\*\.inv_freq'$"):
        opened(tmp_path / "w.pt", Deep)
    holds(opened(tmp_path / "w.pt", Deep, drop=("*.inv_freq",)), state)
    torch.save({**state, "layers.0.inv_freq": torch.ones(2), "layers.5.weight": torch.ones(2)}, tmp_path / "w.pt")
    with pytest.raises(WeightsError, match=r"--drop layers\.5\. --drop layers\.0\.inv_freq$"):
        opened(tmp_path / "w.pt", Deep)


def test_an_entry_under_a_wrapper_is_named_without_it(tmp_path: Path) -> None:
    state, path = trained(), tmp_path / "w.pt"
    torch.save({"model": {**under("module.netG.", state), **under("module.netD.", zeros(state))}}, path)
    with pytest.raises(WeightsError, match=r"#model\.netG"):
        opened(path)
    for entry in ("model.netG", "netG", "model.module.netG"):
        holds(opened(f"{path}#{entry}"), state)
