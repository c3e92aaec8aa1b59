"""Training of a compressed module against the one it came from: batches, the loss, the schedule, and how a run goes on
after a break.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ..frontend.program import Arrays, GraphProgram, flatten_outputs
from ..system.machine import describe, usable_cores
from .base import RecipeContext
from .layers import module_of, tensors

if TYPE_CHECKING:
    import torch

BATCH = 32
HELD_BACK = 0.1
"""Share of the calibration feeds that training does not see: the epoch that answers them best is taken."""

RATE = 2e-3
"""Greatest learning rate of AdamW: that of a student at a distance of 1 or more from its teacher. A nearer one has more
to lose and gets this times the square of its distance. EfficientNet-Lite0 without 45 % of its channels starts at 0.4:
after
8 epochs at 8e-4 it is still at 0.086, after 6 at 2e-4 at 0.073."""

GENTLE = 0.1
"""Least share of that rate, for a student that has lost next to nothing."""

AVERAGED = 50
"""Steps that the weights are averaged over, about, or a tenth of all where that is fewer: the mean of late weights
answers better than the last of them (Polyak & Juditsky 1992, here with weights that decay)."""

PATIENCE = 6
"""Epochs without a better one after which training stops, of those past the middle: before it the rate is high, weights
wander, and what they find shows when it falls. EfficientNet-Lite0 without 45 % of its channels was left at its third
epoch of 20 while those counted too."""

SETTLED_ON = 512
"""Feeds, at most, that batch normalisation takes its statistics from before training."""

SPARSE = 0.2
"""A weight tensor with a greater share of zeros than this was made sparse, and its zeros stay."""

TEMPERATURE = 2.0
"""Softens the teacher's scores (Hinton et al. 2015)."""

LABELS = 0.25
"""Weight of the labels' own loss beside the teacher's."""


def train(
    graph: GraphProgram, student: torch.nn.Module, work: RecipeContext, recipe: str, *, epochs: int, mixed: bool
) -> torch.nn.Module:
    """The student, trained to answer as the graph's module in `work.teacher` does, on the calibration feeds.

    Feeds of one shape are batched; pictures (float tensors of four dimensions) are mirrored, turned over, shifted and
    mixed, and the teacher answers the altered ones (Beyer et al. 2022). Labels count a quarter, on unaltered pictures.
    What is judged and kept is a running mean of the weights. The student is trained in the form in which it will run:
    nothing drops out, and batch normalisation keeps the statistics that it was given first (those of the feeds where
    they bring it nearer), for those of a batch of altered pictures hide most of what was learnt. Every epoch is kept in
    `work.store`, so that an interrupted run goes on; the deadline ends it early. Deterministic by `work.seed`.

    Args:
        graph: whose signature names the feeds.
        student: trained in place.
        epochs: of the schedule: one rise and fall of AdamW's learning rate, the lower the nearer the student starts.
        mixed: the student may multiply in bfloat16, as the teacher does, where the CPU has them.

    Raises:
        BadInput: there are too few calibration feeds.
        UnsupportedByTarget: there is no eager teacher.
    """
    import torch

    teacher = module_of(work.teacher.graphs[graph.name], recipe)
    feeds = work.need_feeds(graph.name, recipe)
    state = (
        work.store and work.store / "training" / f"{_key(graph, teacher, student, feeds, work, (recipe, epochs))}.pt"
    )
    with _all_cores(), torch.random.fork_rng():
        torch.manual_seed(work.seed)
        run = _Run(graph, student, teacher, feeds, work, epochs, mixed)
        run.restore(state)
        while run.epoch < epochs and not run.settled() and work.left() > 0:
            run.one_epoch()
            run.keep(state)
            work.tell(f"{recipe}: epoch {run.epoch} of {epochs}, {run.best:.4f} from the teacher at best")
        student.load_state_dict(run.best_state)
    for parameter in student.parameters():
        parameter.requires_grad_(False)
    return student


def settle_statistics(module: torch.nn.Module, calls: Iterable[tuple[torch.Tensor, ...]]) -> int:
    """Statistics of batch normalisation as the plain mean over batches of calls; in evaluation afterwards.

    Returns:
        How many layers have such statistics; where none does, nothing was called.
    """
    import torch

    layers = {
        layer: layer.momentum
        for layer in module.eval().modules()
        if isinstance(layer, torch.nn.modules.batchnorm._BatchNorm) and layer.track_running_stats
    }
    for layer in layers:
        layer.reset_running_stats()
        layer.momentum = None  # the plain mean
        layer.train()
    with torch.no_grad():
        for call in calls if layers else ():
            module(*call)
    for layer, momentum in layers.items():
        layer.momentum = momentum
    module.eval()
    return len(layers)


def batches(graph: GraphProgram, feeds: Sequence[Arrays], rows: Sequence[int] | None = None) -> Iterator[list[int]]:
    """Row numbers in groups whose feeds can be stacked: of the same shapes, where the graph takes a batch. One left
    over joins the group before it: batch normalisation of vectors has no variance over a batch of one."""
    by_shape: dict[tuple[tuple[int, ...], ...], list[int]] = {}
    for row in range(len(feeds)) if rows is None else rows:
        by_shape.setdefault(tuple(array.shape for array in feeds[row].values()), []).append(row)
    size = BATCH if all(spec.shape and spec.shape[0] == "batch" for spec in graph.signature.inputs) else 1
    for same in by_shape.values():
        starts = [i for i in range(0, len(same), size) if i == 0 or size == 1 or len(same) - i > 1]
        yield from (same[start:end] for start, end in zip(starts, [*starts[1:], len(same)], strict=True))


def stacked(graph: GraphProgram, feeds: Sequence[Arrays]) -> tuple[torch.Tensor, ...]:
    """Feeds of one shape as forward's positional arguments, one batch."""
    import torch

    columns = zip(*(tensors(graph, feed) for feed in feeds), strict=True)
    return tuple(torch.cat(column) if len(feeds) > 1 else column[0] for column in columns)


class _Run:
    def __init__(
        self,
        graph: GraphProgram,
        student: torch.nn.Module,
        teacher: torch.nn.Module,
        feeds: Sequence[Arrays],
        work: RecipeContext,
        epochs: int,
        mixed: bool,
    ) -> None:
        import torch

        self.graph, self.student, self.teacher, self.work, self.mixed = graph, student, teacher, work, mixed
        random = np.random.default_rng(work.seed)
        order = random.permutation(len(feeds))
        held = max(1, int(HELD_BACK * len(feeds)))
        self.feeds = feeds
        self.labels = work.labels if graph.name == "model" and len(work.labels) == len(feeds) else ()
        self.held, self.seen = order[:held].tolist(), order[held:].tolist()
        self.pictures = len(graph.signature.inputs) == 1 and feeds[0][graph.signature.inputs[0].name].ndim == 4
        if self.pictures:
            student.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
            teacher.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        student.eval()
        for parameter in student.parameters():
            parameter.requires_grad_(bool(parameter.is_floating_point()))
        self.sparse = [
            (p, p != 0) for p in student.parameters() if p.dim() > 1 and float((p == 0).float().mean()) > SPARSE
        ]
        self.wanted = [
            (rows, self._answers(teacher, rows)) for rows in self._batches(self.held, np.random.default_rng(0))
        ]
        self.best, self.best_state = self.distance(), _copied(student)
        if settle_statistics(
            student, (self._stack(rows)[0] for rows in self._batches(self.seen[:SETTLED_ON], np.random.default_rng(0)))
        ):
            if (settled := self.distance()) < self.best:
                self.best, self.best_state = settled, _copied(student)
            student.load_state_dict(self.best_state)
        rate = RATE * min(1.0, max(GENTLE, self.best**2))
        self.optimiser = torch.optim.AdamW(
            [p for p in student.parameters() if p.requires_grad], lr=rate, weight_decay=1e-4
        )
        steps = epochs * len(list(self._batches(self.seen, random))) + 1
        self.schedule = torch.optim.lr_scheduler.OneCycleLR(self.optimiser, rate, total_steps=steps, pct_start=0.15)
        self.average, self.share = _copied(student), 1 / max(1, min(AVERAGED, steps // 10))
        self.epochs = epochs
        self.epoch = self.since_best = 0

    def one_epoch(self) -> None:
        """Every feed once, then a look at those held back."""
        import torch

        random = np.random.default_rng((self.work.seed, self.epoch))
        for rows in self._batches(self.seen, random):
            if self.work.left() <= 0:
                break
            inputs, labels = self._stack(rows)
            if self.pictures and random.random() < 0.75:
                inputs, labels = (_altered(inputs[0], random),), None
            with torch.no_grad(), _bfloat16(True):
                wanted = flatten_outputs(self.teacher(*inputs))
            with _bfloat16(self.mixed):
                answers = flatten_outputs(self.student(*inputs))
            loss = _loss(answers, wanted, labels)
            self.optimiser.zero_grad(set_to_none=True)
            loss.backward()  # type: ignore[no-untyped-call]
            torch.nn.utils.clip_grad_norm_(self.student.parameters(), 5.0)
            self.optimiser.step()
            self.schedule.step()
            with torch.no_grad():
                for weight, kept in self.sparse:
                    weight.mul_(kept)
            self._average()
        self.epoch += 1
        latest = _copied(self.student)
        self.student.load_state_dict(self.average)
        distance = self.distance()
        self.since_best += 1
        if distance < self.best:
            self.best, self.since_best, self.best_state = distance, 0, _copied(self.student)
        self.student.load_state_dict(latest)

    def settled(self) -> bool:
        """Whether more epochs would be for nothing."""
        return min(self.since_best, self.epoch - self.epochs // 2) >= PATIENCE

    def _average(self) -> None:
        for name, value in self.student.state_dict().items():
            if value.is_floating_point():
                self.average[name].lerp_(value, self.share)
            else:
                self.average[name].copy_(value)

    def distance(self) -> float:
        """Mean loss on the feeds held back, in float32."""
        total = sum(
            len(rows) * float(_loss(self._answers(self.student, rows), wanted, None)) for rows, wanted in self.wanted
        )
        return total / len(self.held)

    def _answers(self, module: torch.nn.Module, rows: Sequence[int]) -> dict[str, torch.Tensor]:
        import torch

        with torch.no_grad():
            return flatten_outputs(module(*self._stack(rows)[0]))

    def _batches(self, rows: Sequence[int], random: np.random.Generator) -> Iterator[list[int]]:
        """Row numbers of feeds that share their shapes, in random order."""
        made = list(batches(self.graph, self.feeds, [int(row) for row in random.permutation(np.asarray(rows))]))
        for i in random.permutation(len(made)):
            yield made[int(i)]

    def _stack(self, rows: Sequence[int]) -> tuple[tuple[torch.Tensor, ...], torch.Tensor | None]:
        import torch

        inputs = stacked(self.graph, [self.feeds[row] for row in rows])
        if self.pictures:
            inputs = (inputs[0].contiguous(memory_format=torch.channels_last),)
        return inputs, torch.tensor([self.labels[row] for row in rows]) if self.labels else None

    def keep(self, path: Path | None) -> None:
        """Write where the run is, whole or not at all; a store that cannot be written to only costs the going on."""
        import torch

        if path is None:
            return
        state = {
            "student": self.student.state_dict(),
            "average": self.average,
            "best_state": self.best_state,
            "optimiser": self.optimiser.state_dict(),
            "schedule": self.schedule.state_dict(),
        }
        with contextlib.suppress(OSError, RuntimeError):
            path.parent.mkdir(parents=True, exist_ok=True)
            fresh = path.with_name(f".{path.name}.{os.getpid()}")
            torch.save({**state, "numbers": [float(self.epoch), float(self.since_best), self.best]}, fresh)
            fresh.replace(path)

    def restore(self, path: Path | None) -> None:
        """Go on where an earlier run of the same work was; anything that does not fit is passed over."""
        import torch

        if path is None or not path.is_file():
            return
        with contextlib.suppress(Exception):
            state = torch.load(path, weights_only=True)
            epoch, since, best = state["numbers"]
            self.student.load_state_dict(state["student"])
            self.optimiser.load_state_dict(state["optimiser"])
            self.schedule.load_state_dict(state["schedule"])
            self.average, self.best_state = state["average"], state["best_state"]
            self.epoch, self.since_best, self.best = int(epoch), int(since), best


def _loss(
    answers: dict[str, torch.Tensor], wanted: dict[str, torch.Tensor], labels: torch.Tensor | None
) -> torch.Tensor:
    """How far answers are from the teacher's: scores of classes by their softened distribution and their values,
    anything else by its values.
    """
    import torch
    from torch.nn import functional

    parts = []
    for name, target in wanted.items():
        if not target.is_floating_point():
            continue
        answer, target = answers[name].float(), target.float()
        parts.append(functional.mse_loss(answer, target) / (target.var(correction=0) + 1e-6))
        if target.dim() == 2 and target.shape[1] > 1:
            soft = functional.log_softmax(target / TEMPERATURE, 1)
            parts.append(
                TEMPERATURE**2
                * functional.kl_div(
                    functional.log_softmax(answer / TEMPERATURE, 1), soft, reduction="batchmean", log_target=True
                )
            )
    loss = torch.stack(parts).sum()
    if labels is not None:
        scores = next(iter(answers.values())).float()
        loss = (1 - LABELS) * loss + LABELS * functional.cross_entropy(scores, labels)
    return loss


def _altered(pictures: torch.Tensor, random: np.random.Generator) -> torch.Tensor:
    """Pictures [batch, channels, height, width] mirrored, turned over now and then, shifted by up to a tenth, and mixed
    with one another.
    """
    import torch

    for axis, chance in ((3, 0.5), (2, 0.25)):
        if random.random() < chance:
            pictures = pictures.flip(axis)
    most = [max(1, size // 10) for size in pictures.shape[2:]]
    pictures = torch.roll(pictures, tuple(int(random.integers(-m, m + 1)) for m in most), (2, 3))
    if random.random() < 0.5:
        share = float(random.random())
        pictures = share * pictures + (1 - share) * pictures.flip(0)
    return pictures.contiguous(memory_format=torch.channels_last)


def _copied(module: torch.nn.Module) -> dict[str, torch.Tensor]:
    return {name: value.detach().clone() for name, value in module.state_dict().items()}


def _key(
    graph: GraphProgram,
    teacher: torch.nn.Module,
    student: torch.nn.Module,
    feeds: Sequence[Arrays],
    work: RecipeContext,
    how: tuple[Any, ...],
) -> str:
    """A hash of all that a training run depends on."""
    whole = hashlib.sha256(
        repr((how, work.seed, graph.signature, list(work.labels), Path(__file__).read_bytes())).encode()
    )
    for module in (teacher, student):
        for name, value in sorted(module.state_dict().items()):
            whole.update(name.encode() + value.contiguous().numpy().tobytes())
    for feed in feeds:
        for name, array in sorted(feed.items()):
            whole.update(name.encode() + np.ascontiguousarray(array).tobytes())
    return whole.hexdigest()[:32]


def _bfloat16(wanted: bool) -> torch.autocast:
    """Products in bfloat16, with weights and sums in float32 (Kalamkar et al. 2019), where the CPU multiplies them:
    half of an epoch's time.
    """
    import torch

    return torch.autocast(
        "cpu",
        torch.bfloat16,
        enabled=wanted and not {"avx512_bf16", "amx_bf16"}.isdisjoint(describe().instruction_sets),
    )


@contextlib.contextmanager
def _all_cores() -> Iterator[None]:
    """Train on every core, and go back to the number of threads that there was."""
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(usable_cores())
    try:
        yield
    finally:
        torch.set_num_threads(before)
