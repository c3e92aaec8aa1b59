"""Files of a stranger: honest ones open, code in any place of them never runs."""

from __future__ import annotations

import io
import json
import os
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from torchport.errors import BadInput, UnsafeFile
from torchport.frontend.safe import FORCE, FORCE_NOT, kind_of, load_exported, load_scripted


class Net(torch.nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.fc = torch.nn.Linear(10, 5)
        self.scale = torch.ones(5)

    def forward(self, x: torch.Tensor, mask: torch.Tensor) -> dict[str, torch.Tensor]:
        y = torch.where(mask, self.fc(x) * self.scale, torch.zeros(()))
        return {"y": y, "flat": y.view(x.shape[0] * 5), "sums": torch.einsum("ij->i", y)}


class Evil:
    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self) -> tuple[Callable[[str], int], tuple[str]]:
        return os.system, (f"touch {self.mark}",)


@pytest.fixture(scope="module")
def honest(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("honest") / "net.pt2"
    batch = torch.export.Dim.AUTO
    args = (torch.zeros(3, 10), torch.ones(3, 5, dtype=torch.bool))
    torch.export.save(
        torch.export.export(Net().eval(), args, dynamic_shapes=({0: batch}, {0: batch}), strict=False), path
    )
    return path


def altered(
    honest: Path, there: Path, change: Callable[[str, bytes], bytes], extra: dict[str, bytes] | None = None
) -> Path:
    """A copy of an archive with its records changed, and more put in."""
    with zipfile.ZipFile(honest) as old, zipfile.ZipFile(there, "w", zipfile.ZIP_STORED) as new:
        for member in old.infolist():
            new.writestr(member, change(member.filename, old.read(member.filename)))
        for name, content in (extra or {}).items():
            new.writestr(f"net/{name}", content)
    return there


def pickled(thing: object) -> bytes:
    buffer = io.BytesIO()
    torch.save(thing, buffer)
    return buffer.getvalue()


def test_honest_program_opens_and_answers(honest: Path) -> None:
    program = load_exported(honest)
    x, mask = torch.randn(1, 10), torch.ones(1, 5, dtype=torch.bool)
    assert program.module()(x, mask)["y"].shape == (1, 5)


def test_pickled_sample_inputs_never_run(honest: Path, tmp_path: Path) -> None:
    mark = tmp_path / "owned"
    evil = altered(
        honest, tmp_path / "evil.pt2", lambda name, old: pickled(Evil(mark)) if "sample_inputs" in name else old
    )
    with pytest.raises(UnsafeFile, match=r"evil.pt2 contains code.*; refused, never executed"):
        load_exported(evil)
    assert not mark.exists()


@pytest.mark.parametrize(
    ("config", "tensor"), [("model_weights_config.json", "weight_0"), ("model_constants_config.json", "tensor_0")]
)
def test_pickled_weight_or_constant_never_runs(honest: Path, tmp_path: Path, config: str, tensor: str) -> None:
    mark = tmp_path / "owned"

    def change(name: str, old: bytes) -> bytes:
        if name.endswith(config):
            return old.replace(b'"use_pickle": false', b'"use_pickle": true')
        return pickled(Evil(mark)) if name.endswith(tensor) else old

    with pytest.raises(UnsafeFile, match="contains code"):
        load_exported(altered(honest, tmp_path / "evil.pt2", change))
    assert not mark.exists()


@pytest.mark.parametrize(
    "name",
    ["data/constants/custom_obj_0", "data/constants/opaque_obj_0", "data/aotinductor/model/a.so", "models/other.json"],
)
def test_unknown_records_are_refused(honest: Path, tmp_path: Path, name: str) -> None:
    evil = altered(honest, tmp_path / "evil.pt2", lambda _, old: old, {name: b"anything"})
    with pytest.raises(UnsafeFile, match=name.rsplit("/", 1)[1]):
        load_exported(evil)


CODE = "__import__('os').system('touch owned')"


def _shape(program: dict) -> None:
    program["graph_module"]["graph"]["tensor_values"]["x"]["sizes"][0]["as_expr"]["expr_str"] = CODE


def _shape_of_a_tensor_called_metadata(program: dict) -> None:
    values = program["graph_module"]["graph"]["tensor_values"]
    values["metadata"] = json.loads(json.dumps(values["x"]))
    values["metadata"]["sizes"][0]["as_expr"]["expr_str"] = CODE


def _target(program: dict) -> None:
    program["graph_module"]["graph"]["nodes"][0]["target"] = "torch.os.system"


def _file_operator(program: dict) -> None:
    program["graph_module"]["graph"]["nodes"][0]["target"] = "torch.ops.aten.save.default"


def _name(program: dict) -> None:
    program["graph_module"]["graph"]["nodes"][-1]["outputs"][0]["as_tensor"]["name"] = f"a={CODE}"


def _argument(program: dict) -> None:
    program["graph_module"]["module_call_graph"][0]["signature"]["forward_arg_names"][0] = f"x={CODE}"


def _key(program: dict) -> None:
    weights = program["graph_module"]["signature"]["input_specs"][0]["parameter"]
    weights["parameter_name"] = f'a" + {CODE} + "'


def _tree(program: dict) -> None:
    program["graph_module"]["module_call_graph"][0]["signature"]["out_spec"] = json.dumps(
        [
            1,
            {
                "type": "collections.defaultdict",
                "context": {"default_factory_module": "evil", "default_factory_name": "f", "dict_context": []},
                "children_spec": [],
            },
        ]
    )


def _enum(program: dict) -> None:
    program["graph_module"]["module_call_graph"][0]["signature"]["in_spec"] = json.dumps(
        [
            1,
            {
                "type": "builtins.dict",
                "context": json.dumps([{"__enum__": True, "fqn": "evil:f", "name": "a"}]),
                "children_spec": [],
            },
        ]
    )


def _keyword(program: dict) -> None:
    signature = program["graph_module"]["module_call_graph"][0]["signature"]
    signature["in_spec"] = json.dumps(
        [1, {"type": "builtins.dict", "context": json.dumps([f"k={CODE}"]), "children_spec": []}]
    )


@pytest.mark.parametrize(
    "change",
    [
        _shape,
        _shape_of_a_tensor_called_metadata,
        _target,
        _file_operator,
        _name,
        _argument,
        _key,
        _tree,
        _enum,
        _keyword,
    ],
)
def test_code_in_the_program_itself_is_refused(
    honest: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, change: Callable[[dict], None]
) -> None:
    monkeypatch.chdir(tmp_path)

    def edit(name: str, old: bytes) -> bytes:
        if not name.endswith("models/model.json"):
            return old
        program = json.loads(old)
        change(program)
        return json.dumps(program).encode()

    with pytest.raises(UnsafeFile, match=r"refused, never executed"):
        load_exported(altered(honest, tmp_path / "evil.pt2", edit))
    assert not (tmp_path / "owned").exists()


def test_guards_never_run(honest: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)

    def edit(name: str, old: bytes) -> bytes:
        return (
            json.dumps({**json.loads(old), "guards_code": [CODE]}).encode()
            if name.endswith("models/model.json")
            else old
        )

    program = load_exported(altered(honest, tmp_path / "evil.pt2", edit))
    program.module()(torch.randn(2, 10), torch.ones(2, 5, dtype=torch.bool))
    assert not (tmp_path / "owned").exists()


def test_the_environment_is_left_as_it_was(honest: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(FORCE, raising=False)
    monkeypatch.setenv(FORCE_NOT, "1")
    load_exported(honest)
    assert FORCE not in os.environ
    assert os.environ[FORCE_NOT] == "1"


@pytest.mark.parametrize("share", [0.01, 0.5, 0.99])
def test_truncated_program(honest: Path, tmp_path: Path, share: float) -> None:
    cut = tmp_path / "cut.pt2"
    cut.write_bytes(honest.read_bytes()[: int(honest.stat().st_size * share)])
    with pytest.raises(BadInput, match=r"cut\.pt2 is damaged"):
        load_exported(cut)


def test_missing_file(tmp_path: Path) -> None:
    for load in (load_exported, load_scripted, kind_of):
        with pytest.raises(BadInput, match="there is no file"):
            load(tmp_path / "nothing.pt")


def test_scripted_archive(tmp_path: Path) -> None:
    path = tmp_path / "fünf 5.pt"
    torch.jit.script(torch.nn.Linear(10, 5)).save(str(path))
    assert kind_of(path) == "scripted"
    assert load_scripted(path)(torch.zeros(2, 10)).shape == (2, 5)
    path.write_bytes(path.read_bytes()[:400])
    with pytest.raises(BadInput, match="damaged"):
        load_scripted(path)


def test_kinds(honest: Path, tmp_path: Path) -> None:
    assert kind_of(honest) == "exported"
    assert kind_of(tmp_path) == "unknown"
    (tmp_path / "config.json").write_text("{}")
    assert kind_of(tmp_path) == "hf-dir"
    assert kind_of(tmp_path / "config.json") == "unknown"
