"""While something is exported, torch does less of what it did before, and is afterwards as it was."""

from __future__ import annotations

import torch
from torch._export import utils
from torch.export import decomp_utils, exported_program

from torchport.frontend.modes import exporting


def torchs_own() -> tuple[object, ...]:
    collect = (module._collect_all_valid_cia_ops for module in (utils, decomp_utils, exported_program))
    return torch._ops.Callable, utils._materialize_cpp_cia_ops, *collect


def test_torch_is_as_it_was_also_after_an_error():
    before = torchs_own()
    try:
        with exporting(), exporting():
            assert torchs_own() != before
            raise ValueError
    except ValueError:
        assert torchs_own() == before


def test_the_same_operators_are_found_those_of_a_new_library_too():
    with exporting():
        known = exported_program._collect_all_valid_cia_ops()
        with torch.library._scoped_library("torchport_test_modes", "DEF") as library:
            library.define("twice(Tensor x) -> Tensor")
            library.impl("twice", lambda x: x * 2, "CompositeImplicitAutograd")
            found = exported_program._collect_all_valid_cia_ops()
            assert found == utils._collect_all_valid_cia_ops()
            assert found - known == {torch.ops.torchport_test_modes.twice.default}


def test_a_program_is_decomposed_as_it_is_without():
    program = torch.export.export(torch.nn.Sequential(torch.nn.Linear(3, 3), torch.nn.ReLU6()), (torch.zeros(2, 3),))
    plain = program.run_decompositions()
    with exporting():
        assert str(program.run_decompositions().graph) == str(plain.graph)
