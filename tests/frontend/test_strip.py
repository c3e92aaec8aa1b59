"""Exported programs on disk: the same bytes from any folder and process, and nothing in them about who made them."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from torchport.frontend.safe import load_exported
from torchport.frontend.strip import relative_source, relative_sources, save_exported, scrub

NETWORK = """
import torch

class Block(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.conv, self.norm = torch.nn.Conv2d(3, 4, 3), torch.nn.BatchNorm2d(4)

    def forward(self, x):
        return torch.relu(self.norm(self.conv(x)))

class Network(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.block = Block()

    def forward(self, input, scale):
        return {"answer": self.block(input).mean((2, 3)) * scale + torch.tensor([1.0, 2.0, 3.0, 4.0])}

def exported(strict):
    torch.manual_seed(0)
    examples = torch.rand(2, 3, 8, 8) + 5, torch.ones(1)
    shapes = ({0: torch.export.Dim("batch", min=1)}, None)
    return torch.export.export(Network().eval(), examples, dynamic_shapes=shapes, strict=strict)
"""

SAVE = """
import sys, warnings
from pathlib import Path
warnings.simplefilter("ignore")
sys.path.insert(0, sys.argv[1])
from torchport.frontend.strip import save_exported
from network import exported
for strict in (True, False):
    save_exported(exported(strict), Path(sys.argv[1]) / f"{strict}.pt2")
"""


def folder_with_network(folder: Path) -> Path:
    folder.mkdir()
    (folder / "network.py").write_text(NETWORK, "utf-8")
    return folder


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Two folders, of names of different lengths, in each of which a process of its own has captured and saved."""
    root = tmp_path_factory.mktemp("strip")
    made = [folder_with_network(root / name) for name in ("a", "ein längerer Name")]
    for folder in made:
        subprocess.run([sys.executable, "-c", SAVE, str(folder)], check=True, cwd=root)
    return made


@pytest.mark.parametrize("strict", [True, False])
def test_two_processes_in_two_folders_write_the_same_bytes(folders: list[Path], strict: bool) -> None:
    first, second = ((folder / f"{strict}.pt2").read_bytes() for folder in folders)
    assert first == second


@pytest.mark.parametrize("strict", [True, False])
def test_no_folder_of_this_machine_is_named(folders: list[Path], strict: bool) -> None:
    content = (folders[0] / f"{strict}.pt2").read_bytes()
    for secret in (folders[0].parent, sys.prefix, sys.base_prefix, Path.home()):
        assert f"{secret}/".encode() not in content


@pytest.mark.parametrize("strict", [True, False])
def test_what_debug_needs_survives(folders: list[Path], strict: bool) -> None:
    program = load_exported(folders[0] / f"{strict}.pt2")
    node = next(node for node in program.graph.nodes if node.op == "call_function")
    assert [path for path, _ in node.meta["nn_module_stack"].values()] == ["", "block", "block.conv"]
    assert re.search(
        r'File "network\.py", line 10, in forward\n +return torch\.relu\(self\.norm\(self\.conv\(x\)\)\)',
        node.meta["stack_trace"],
    )
    assert 'File "torch/nn/modules/conv.py"' in node.meta["stack_trace"] or strict


def test_saved_again_after_loading_nothing_changes(folders: list[Path], tmp_path: Path) -> None:
    path = folders[0] / "False.pt2"
    save_exported(load_exported(path), tmp_path / "again.pt2")
    assert (tmp_path / "again.pt2").read_bytes() == path.read_bytes()


def test_examples_become_zeros_and_the_answer_stays(folders: list[Path]) -> None:
    program = load_exported(folders[0] / "False.pt2")
    args, _ = program.example_inputs
    assert [tuple(arg.shape) for arg in args] == [(2, 3, 8, 8), (1,)]
    assert not any(arg.any() for arg in args)
    sys.path.insert(0, str(folders[0]))
    try:
        from network import exported  # type: ignore[import-not-found]
    finally:
        sys.path.remove(str(folders[0]))
    x = torch.randn(5, 3, 8, 8)
    original = exported(False)
    assert torch.equal(program.module()(x, torch.ones(1))["answer"], original.module()(x, torch.ones(1))["answer"])
    assert original.example_inputs[0][0].min() >= 5, "the caller's program is left alone"


def test_an_argument_keeps_its_name_whatever_it_is() -> None:
    class Named(torch.nn.Module):
        def forward(self, input: torch.Tensor) -> torch.Tensor:  # noqa: A002 - the name under test
            return input + 1

    program = torch.export.export(Named(), (torch.ones(2),))
    assert [node.name for node in scrub(program).graph.nodes] == [node.name for node in program.graph.nodes]


@pytest.mark.parametrize(
    ("path", "relative"),
    [
        ("/home/ann/env/lib/python3.11/site-packages/torch/nn/functional.py", "torch/nn/functional.py"),
        ("/usr/lib/python3/dist-packages/numpy/core.py", "numpy/core.py"),
        ("/home/ann/secret/net.py", "net.py"),
        ("C:\\Users\\Ann\\net.py", "net.py"),
        ("net.py", "net.py"),
        ("<string>", "<string>"),
        ("<eval_with_key>.17", "<eval_with_key>"),
    ],
)
def test_sources_are_told_without_their_folder(path: str, relative: str) -> None:
    assert relative_source(path) == relative
    assert relative_sources(f'File "{path}", line 3, in forward') == f'File "{relative}", line 3, in forward'


def test_a_source_in_a_package_starts_at_the_package(tmp_path: Path) -> None:
    inner = tmp_path / "package" / "inner"
    inner.mkdir(parents=True)
    for folder in (inner, inner.parent):
        (folder / "__init__.py").touch()
    assert relative_source(str(inner / "net.py")) == "package/inner/net.py"


class Views(torch.nn.Module):
    """Weights that do not lie row by row in storage of their own: a turned one, and two slices of one table."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        table = torch.rand(4, 6)
        self.turned = torch.nn.Parameter(torch.rand(3, 4).T)
        self.register_buffer("left", table[:, :2])
        self.register_buffer("right", table[:, 3:5])

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x @ self.turned + (x @ self.left).sum() + (x @ self.right).sum()


def test_weights_that_lie_otherwise_are_saved_as_they_are(tmp_path):
    module, x = Views().eval(), torch.rand(2, 4)
    save_exported(torch.export.export(module, (x,)), tmp_path / "views.pt2")
    torch.testing.assert_close(load_exported(tmp_path / "views.pt2").module()(x), module(x))
