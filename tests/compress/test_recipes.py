"""What each recipe that changes weights leaves, on a small network that was trained, and that the chain still lowers
and answers.
"""

from __future__ import annotations

import numpy as np
import pytest
import torch

from torchport.compress import RecipeContext, parse
from torchport.errors import BadInput, UnsupportedByTarget
from torchport.frontend.ladder import capture_graph
from torchport.frontend.program import Program


class Net(torch.nn.Module):
    """Convolutions with batch normalisation, and a linear layer."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.first = torch.nn.Conv2d(3, 16, 3, padding=1)
        self.norm = torch.nn.BatchNorm2d(16)
        self.second = torch.nn.Conv2d(16, 32, 3, padding=1)
        self.last = torch.nn.Linear(32, 10)

    def forward(self, pixels: torch.Tensor) -> torch.Tensor:
        hidden = self.norm(self.first(pixels)).relu()
        return self.last(self.second(hidden).relu().mean((2, 3)))


@pytest.fixture(scope="module")
def feeds() -> list[dict[str, np.ndarray]]:
    random = np.random.default_rng(0)
    return [{"pixels": (random.standard_normal((1, 3, 8, 8)) * 2 + 1).astype(np.float32)} for _ in range(48)]


@pytest.fixture(scope="module")
def program(feeds) -> Program:
    net = Net()
    with torch.no_grad():
        for feed in feeds:
            net.train()(torch.from_numpy(np.concatenate([feed["pixels"]] * 2)))
    return captured(net, feeds)


def captured(net: Net, feeds: list[dict[str, np.ndarray]]) -> Program:
    batch = {"pixels": np.concatenate([feeds[0]["pixels"], feeds[1]["pixels"]])}
    return Program({"model": capture_graph("model", net.eval(), batch, dims={"pixels": {0: "batch"}})})


def made(chain: str, program: Program, feeds: list[dict[str, np.ndarray]]) -> Program:
    return parse(chain).apply(program, RecipeContext(program, {"model": feeds}))


def answers(program: Program, feeds: list[dict[str, np.ndarray]]) -> np.ndarray:
    graph = program.graphs["model"]
    with torch.no_grad():
        return np.concatenate(
            [graph.need_exported("this test").module()(torch.from_numpy(feed["pixels"])).numpy() for feed in feeds]
        )


def far(one: Program, other: Program, feeds: list[dict[str, np.ndarray]]) -> float:
    a, b = answers(one, feeds), answers(other, feeds)
    return float(np.linalg.norm(a - b) / np.linalg.norm(b))


def weights(program: Program) -> dict[str, torch.Tensor]:
    return {
        name: value
        for name, value in program.graphs["model"].need_exported("this test").state_dict.items()
        if value.dim() > 1
    }


@pytest.mark.parametrize(
    ("chain", "share"),
    [("sparse@0.6", 0.6), ("sparse_2_4", 0.5), ("sparse@0.6+distil@2", 0.6), ("sparse_2_4+distil@2", 0.5)],
)
def test_zeros_are_where_they_were_asked_for_and_stay(program, feeds, chain, share):
    zeros = {name: float((value == 0).float().mean()) for name, value in weights(made(chain, program, feeds)).items()}
    assert zeros["second.weight"] == pytest.approx(share, abs=0.01) and zeros["last.weight"] == pytest.approx(
        share, abs=0.01
    )
    if "2_4" in chain:
        fours = weights(made(chain, program, feeds))["last.weight"].reshape(-1, 4)
        assert ((fours == 0).sum(1) >= 2).all()
        assert zeros["first.weight"] == 0, "three input channels are no multiple of four"


def test_what_zeros_lost_is_won_back(program, feeds):
    assert far(made("sparse@0.8+distil@8", program, feeds), program, feeds) < far(
        made("sparse@0.8", program, feeds), program, feeds
    )


@pytest.mark.parametrize("values", [256, 16, 8])
def test_a_layer_has_so_many_values(program, feeds, values):
    found = made(f"cluster@{values}", program, feeds)
    assert all(len(value.unique()) <= values for value in weights(found).values())
    assert far(found, program, feeds) < {256: 0.01, 16: 0.15, 8: 0.4}[values]


def test_two_thin_layers_hold_fewer_weights(program, feeds):
    found = made("low_rank@0.4", program, feeds)
    before, after = (sum(value.numel() for value in weights(one).values()) for one in (program, found))
    assert after < 0.8 * before and set(weights(found)) > {"second.0.weight", "second.1.weight"}
    assert far(made("low_rank@0.4+distil@8", program, feeds), program, feeds) < far(found, program, feeds)


def test_statistics_of_other_activations_are_taken_anew(program, feeds):
    net = program.graphs["model"].module
    assert net is not None
    shifted = Net()
    shifted.load_state_dict(net.state_dict())
    with torch.no_grad():
        shifted.norm.running_mean.add_(3)
        shifted.norm.running_var.mul_(9)
    broken = captured(shifted, feeds)
    mended = parse("bn_reestimate").apply(broken, RecipeContext(program, {"model": feeds}))
    assert far(mended, program, feeds) < 0.2 * far(broken, program, feeds)


@pytest.mark.parametrize("chain", ["int8_static", "int8_xnnpack", "qat@2", "prune@0.3+distil@2+int8_static"])
def test_integers_answer_like_the_original_and_are_integers(program, feeds, chain):
    found = made(chain, program, feeds)
    kinds = {str(value.dtype) for value in found.graphs["model"].need_exported("this test").state_dict.values()} | {
        str(value.dtype)
        for value in found.graphs["model"].need_exported("this test").constants.values()
        if isinstance(value, torch.Tensor)
    }
    assert "torch.int8" in kinds
    operators = {str(node.target) for node in found.graphs["model"].need_exported("this test").graph.nodes}
    assert any("quantize_per_tensor" in name for name in operators), "activations are rounded too"
    if "prune" not in chain:
        assert far(found, program, feeds) < 0.1


@pytest.mark.parametrize("recipe", ["int8_static", "int8_xnnpack"])
def test_the_same_layers_become_integers_however_a_graph_was_captured(program, feeds, recipe):
    graph = program.graphs["model"]

    def integers(rung: str) -> int:
        assert graph.module is not None
        captured = capture_graph("model", graph.module, graph.examples, dims={"pixels": {0: "batch"}}, rungs=(rung,))
        found = made(recipe, Program({"model": captured}), feeds).graphs["model"].need_exported("this test")
        return sum("dequantize_per_channel" in str(node.target) for node in found.graph.nodes)

    assert (integers("strict"), integers("non-strict")) == (3, 3)


def test_a_layer_that_cannot_bear_integers_stays_in_floats(program, feeds):
    """One channel of the pictures is a hundred times as large as the others, and the first layer weighs it a
    five-hundredth: it takes all levels.
    """
    uneven = [{"pixels": feed["pixels"] * np.float32([100, 1, 1])[:, None, None]} for feed in feeds]
    net = Net()
    with torch.no_grad():
        net.first.weight[:, 0].mul_(0.002)
    odd, told = captured(net, uneven), list[str]()
    found = parse("int8_mixed").apply(odd, RecipeContext(odd, {"model": uneven}, tell=told.append))
    assert told[-1] == "int8_mixed: 1 of 3 layers of graph 'model' stay in float32: conv2d"
    assert {name: value.dtype for name, value in weights(found).items()}["first.weight"] == torch.float32
    assert (
        sum(
            "dequantize_per_channel" in str(node.target)
            for node in found.graphs["model"].need_exported("this test").graph.nodes
        )
        == 2
    )
    assert far(found, odd, uneven) < 0.2 * far(made("int8_static", odd, uneven), odd, uneven)
    with pytest.raises(UnsupportedByTarget, match=r"no layer stands out.*int8_static"):
        made("int8_mixed", program, feeds)


def test_what_a_relu6_cuts_off_takes_no_levels(feeds):
    """A range that spans what is cut off leaves what is kept a few levels."""

    class Cut(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            torch.manual_seed(0)
            self.first, self.second = torch.nn.Conv2d(3, 16, 3), torch.nn.Conv2d(16, 8, 3)
            with torch.no_grad():
                self.first.weight.mul_(20)

        def forward(self, pixels: torch.Tensor) -> torch.Tensor:
            return self.second(torch.nn.functional.relu6(self.first(pixels)))

    cut = Program({"model": capture_graph("model", Cut().eval(), feeds[0])})
    assert far(made("int8_xnnpack", cut, feeds), cut, feeds) < 0.025, "0.029 where what is cut off is rounded first"


def test_what_is_looked_up_stays_whole_numbers(feeds):
    class Places(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            torch.manual_seed(0)
            self.table, self.last = torch.nn.Embedding(64, 32), torch.nn.Linear(32, 8)

        def forward(self, ids: torch.Tensor) -> torch.Tensor:
            return self.last(self.table(ids * 2 + 1).sum(1) * 0.5)

    some = [{"ids": np.random.default_rng(seed).integers(0, 30, (2, 5))} for seed in range(16)]
    places = Program({"model": capture_graph("model", Places().eval(), some[0])})
    found = (
        parse("int8_xnnpack")
        .apply(places, RecipeContext(places, {"model": some}))
        .graphs["model"]
        .need_exported("this test")
    )
    with torch.no_grad():
        ids = torch.from_numpy(some[0]["ids"])
        torch.testing.assert_close(
            found.module()(ids), places.graphs["model"].need_exported("this test").module()(ids), atol=0.1, rtol=0.1
        )


def test_training_is_given_up_only_once_the_rate_falls(program, feeds):
    """A student that is its teacher has nothing to win: six epochs past the middle say so, none before it."""
    told: list[str] = []
    parse("distil@24").apply(program, RecipeContext(program, {"model": feeds}, tell=told.append))
    assert sum("epoch" in said for said in told) == 18 and "epoch 18 of 24" in told[-1]


def test_nothing_drops_out_of_a_student(program, feeds):
    """Code may drop parts at random in training, as stochastic depth does, without a layer that says so."""

    class Dropping(Net):
        def forward(self, pixels: torch.Tensor) -> torch.Tensor:
            return torch.nn.functional.dropout(super().forward(pixels), 0.5, self.training)

    net = Dropping()
    net.load_state_dict(program.graphs["model"].module.state_dict())
    dropping = captured(net, feeds)
    assert np.array_equal(
        answers(made("sparse@0.6+distil@2", dropping, feeds), feeds),
        answers(made("sparse@0.6+distil@2", program, feeds), feeds),
    )


def test_altered_pictures_leave_the_statistics_of_batch_normalisation_alone(program, feeds):
    """They are those of the feeds from before training: a student that is its teacher but for its statistics gets them
    back.
    """
    net = Net()
    net.load_state_dict(program.graphs["model"].module.state_dict())
    with torch.no_grad():
        net.norm.running_mean.add_(3)
    broken = captured(net, feeds)
    taught = parse("distil@2").apply(broken, RecipeContext(program, {"model": feeds}))
    mean = taught.graphs["model"].module.norm.running_mean
    torch.testing.assert_close(mean, program.graphs["model"].module.norm.running_mean, atol=0.2, rtol=0)


@pytest.mark.parametrize("recipe", ["bn_reestimate", "distil@2"])
def test_a_batch_is_never_of_one_item_that_was_left_over(feeds, recipe):
    """Batch normalisation of vectors refuses it."""

    class Vectors(Net):
        def __init__(self) -> None:
            super().__init__()
            self.vectors = torch.nn.BatchNorm1d(10)

        def forward(self, pixels: torch.Tensor) -> torch.Tensor:
            return self.vectors(super().forward(pixels))

    net = captured(Vectors(), feeds)
    some = {"bn_reestimate": feeds[:33], "distil@2": feeds[:36]}[recipe]  # of 36, 3 are held back
    assert np.isfinite(answers(made(recipe, net, some), feeds)).all()


def test_training_in_integers_is_the_same_every_time(program, feeds):
    assert np.array_equal(answers(made("qat@1", program, feeds), feeds), answers(made("qat@1", program, feeds), feeds))


@pytest.mark.parametrize(
    "recipe", ["int8_static", "int8_mixed", "int8_xnnpack", "qat@2", "bn_reestimate", "low_rank@0.4"]
)
def test_what_learns_asks_for_data(program, feeds, recipe):
    with pytest.raises(BadInput, match="at least 16"):
        made(recipe, program, feeds[:3])


@pytest.mark.parametrize("recipe", ["sparse@0.5", "sparse_2_4", "cluster@16", "low_rank@0.4", "bn_reestimate"])
def test_a_model_without_such_layers_says_so(feeds, recipe):
    class Sum(torch.nn.Module):
        def forward(self, pixels: torch.Tensor) -> torch.Tensor:
            return pixels.sum((2, 3))

    alone = Program({"model": capture_graph("model", Sum().eval(), feeds[0])})
    with pytest.raises(UnsupportedByTarget, match="graph 'model' has no"):
        made(recipe, alone, feeds)


class Step(torch.nn.Module):
    """Adds to what it was handed of itself."""

    def forward(self, state: torch.Tensor) -> torch.Tensor:
        return state + 1


def test_graphs_that_carry_a_state_are_left_in_floats(program):
    step = capture_graph("step", Step().eval(), {"state": np.zeros((1, 4), np.float32)})
    both = Program({**program.graphs, "step": step}, weighted=("model", "step"), stateful=("step",))
    assert parse("bf16_stateless").apply(both, RecipeContext(both)).precisions == {"step": "fp32"}
    for other, said in (
        (program, "no graph"),
        (Program({"step": step}, weighted=("step",), stateful=("step",)), "every graph"),
    ):
        with pytest.raises(UnsupportedByTarget, match=said):
            parse("bf16_stateless").apply(other, RecipeContext(other))


def test_rows_of_a_table_are_rounded_and_only_those_looked_up(feeds):
    class Words(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            torch.manual_seed(0)
            self.table, self.last = torch.nn.Embedding(64, 32), torch.nn.Linear(32, 8)

        def forward(self, ids: torch.Tensor) -> torch.Tensor:
            return self.last(self.table(ids).mean(1))

    random = np.random.default_rng(0)
    some = [{"ids": random.integers(0, 64, (1, 5))} for _ in range(32)]
    words = Program(
        {
            "model": capture_graph(
                "model",
                Words().eval(),
                {"ids": np.concatenate([some[0]["ids"], some[1]["ids"]])},
                dims={"ids": {0: "batch", 1: "length"}},
            )
        }
    )
    found = parse("int8_static").apply(words, RecipeContext(words, {"model": some}))
    exported = found.graphs["model"].need_exported("this test")
    assert not any("embedding" in str(node.target) for node in exported.graph.nodes)
    assert not any(
        value.dtype == torch.float32 and value.numel() > 256
        for value in (*exported.state_dict.values(), *exported.constants.values())
        if isinstance(value, torch.Tensor)
    )
    with torch.no_grad():
        for feed in some[:4]:
            ids = torch.from_numpy(feed["ids"])
            torch.testing.assert_close(
                exported.module()(ids),
                words.graphs["model"].need_exported("this test").module()(ids),
                atol=0.03,
                rtol=0.03,
            )
