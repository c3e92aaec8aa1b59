"""What depends on 16-bit weights alone is computed at export."""

from __future__ import annotations

import torch
from torch import nn

from torchport.frontend.fold import folded


class Tables(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("table", torch.rand(64, 8).bfloat16())
        self.register_buffer("scale", torch.rand(8).half())
        self.fc = nn.Linear(8, 8)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.fc(x) * (-self.table).mean(0) + (self.scale * 2).exp()


def test_operators_on_16_bit_tables_are_computed_and_the_rest_stays() -> None:
    model, x = Tables().eval(), torch.randn(3, 8)
    program = torch.export.export(model, (x,), dynamic_shapes=({0: torch.export.Dim.AUTO},))
    lean = folded(program)
    operators = [str(node.target) for node in lean.graph.nodes if node.op == "call_function"]
    assert not {"aten.neg.default", "aten.mean.dim", "aten.exp.default"} & set(operators)
    assert "aten.linear.default" in operators
    torch.testing.assert_close(lean.module()(x), model(x))
    torch.testing.assert_close(lean.run_decompositions({}).module()(x), model(x))
    assert "aten.neg.default" in [str(node.target) for node in program.graph.nodes]


def test_a_program_without_16_bit_weights_is_itself() -> None:
    program = torch.export.export(nn.Linear(8, 8), (torch.zeros(2, 8),))
    assert folded(program) is program
