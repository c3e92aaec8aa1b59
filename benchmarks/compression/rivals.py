"""Plain runs of other quantisers on the same model, the same items and the same thread: does any of them dominate what
torchport chose?

Each is used as its makers' guide says, with its defaults for this CPU, on the network exported once; the text or the
picture is prepared by tokenizers or Pillow and numpy, and its file is what would be shipped. A rival dominates where it
is at least as good in accuracy, latency and size at once.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from harness import in_turns

from torchport.predict import Predictor

Feed = dict[str, np.ndarray]
Answer = Callable[[Feed], np.ndarray]

ROUNDS, TIMED = 5, 20
CALIBRATED = 100
"""Feeds that the rivals which calibrate see."""


@dataclass(frozen=True)
class Contest:
    """What both sides answer.

    Attributes:
        net: the original, in eval mode.
        feed: raw item -> what the network takes, a batch of one, by tokenizers or Pillow alone.
        raws, labels: the test items with the index of their class.
        calibration: raw items that rivals may calibrate on.
        dims: axis -> name of the dimensions of each input that differ between items.
    """

    net: torch.nn.Module
    feed: Callable[[Any], Feed]
    raws: Sequence[Any]
    labels: Sequence[int]
    calibration: Sequence[Any]
    dims: Mapping[str, Mapping[int, str]]


@dataclass(frozen=True)
class Standing:
    """One side's figures: share of right answers, milliseconds an item from raw to class, bytes on disk; `failed` says
    why there are none.
    """

    name: str
    accuracy: float = 0.0
    ms: float = float("inf")
    size: int = 0
    failed: str = ""

    def dominates(self, other: Standing) -> bool:
        """At least as good in all three."""
        return not self.failed and self.accuracy >= other.accuracy and self.ms <= other.ms and self.size <= other.size

    def words(self) -> str:
        """For the notes of a row."""
        return (
            f"failed: {self.failed}"
            if self.failed
            else f"{self.accuracy:.2%}, {self.ms:.3g} ms, {self.size / 1e6:.3g} MB"
        )


def compare(
    contest: Contest, bundle: Path, variants: Sequence[str], folder: Path
) -> tuple[dict[str, Standing], list[Standing]]:
    """What torchport's variants and every rival show, timed in turns on one thread.

    Returns:
        variant -> its figures, and those of the rivals.
    """
    torch.set_num_threads(1)
    rivals, answers = [], dict[str, Callable[[Any], int]]()
    for name, make in RIVALS.items():
        try:
            answer, size = make(contest, folder / name.replace(" ", "-"))
            answers[name] = _class_of(contest.feed, answer)
            accuracy = _accuracy(answers[name], contest)
            rivals.append(Standing(name, accuracy, size=size))
        except Exception as exc:  # a rival that cannot do this model says so in its own way
            answers.pop(name, None)
            rivals.append(
                Standing(name, failed=f"{type(exc).__name__}: {str(exc).splitlines()[0][:120] if str(exc) else ''}")
            )
    ours = {}
    with ExitStack() as opened:
        for variant in variants:
            predictor = opened.enter_context(Predictor(bundle, variant=variant, threads=1))
            answers[variant] = lambda raw, predictor=predictor: int(predictor.predict(raw)["labels"][0]["index"])  # type: ignore[misc]
            size = sum(
                file.size for file in predictor.bundle.manifest.files if file.path.startswith(f"variants/{variant}/")
            )
            ours[variant] = Standing(variant, _accuracy(answers[variant], contest), size=size)
        few = contest.raws[:TIMED]
        taken = in_turns(
            {name: lambda answer=answer: [answer(raw) for raw in few] for name, answer in answers.items()}, ROUNDS
        )  # type: ignore[misc]
    ms = {name: seconds / len(few) * 1e3 for name, seconds in taken.items()}
    timed = {name: replace(one, ms=ms[name]) for name, one in ours.items()}
    return timed, [one if one.failed else replace(one, ms=ms[one.name]) for one in rivals]


def standing_notes(ours: Standing, rivals: Sequence[Standing]) -> dict[str, float | str]:
    """For a row: every rival's figures, and which of them dominate."""
    found: dict[str, float | str] = {"beside rivals, one thread": ours.words()} | {
        f"rival {one.name}": one.words() for one in rivals
    }
    worse = [one.name for one in rivals if one.dominates(ours)]
    return {**found, "dominated by": ", ".join(worse)} if worse else found


def _class_of(feed: Callable[[Any], Feed], answer: Answer) -> Callable[[Any], int]:
    return lambda raw: int(answer(feed(raw)).argmax())


def _accuracy(answer: Callable[[Any], int], contest: Contest) -> float:
    return float(np.mean([answer(raw) == label for raw, label in zip(contest.raws, contest.labels, strict=True)]))


def _onnx(contest: Contest, folder: Path) -> Path:
    """The network in ONNX as PyTorch exports it."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "model.onnx"
    feed = contest.feed(contest.raws[0])
    dims = {name: dict.fromkeys(axes, torch.export.Dim.AUTO) for name, axes in contest.dims.items()}
    example = tuple(
        torch.from_numpy(np.concatenate([array, array])) if 0 in contest.dims.get(name, {}) else torch.from_numpy(array)
        for name, array in feed.items()
    )
    torch.onnx.export(
        contest.net,
        example,
        path,
        input_names=list(feed),
        dynamo=True,
        dynamic_shapes=tuple(dims.get(name, {}) for name in feed),
        external_data=False,
        verbose=False,
    )
    return path


def _by_onnxruntime(path: Path) -> Answer:
    import onnxruntime as ort

    options = ort.SessionOptions()
    options.intra_op_num_threads = 1
    options.log_severity_level = 3
    session = ort.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    return lambda feed: np.asarray(session.run(None, feed)[0])


def _onnxruntime_dynamic(contest: Contest, folder: Path) -> tuple[Answer, int]:
    """`quantize_dynamic`; Optimum's dynamic quantisation for AVX-512 VNNI calls it with these operators and 8-bit
    signed weights.
    """
    from onnxruntime.quantization import QuantType, quantize_dynamic

    made = folder / "int8.onnx"
    quantize_dynamic(
        _onnx(contest, folder),
        made,
        weight_type=QuantType.QInt8,
        per_channel=False,
        reduce_range=False,
        op_types_to_quantize=["MatMul", "Conv", "Gather", "Attention"],
    )
    return _by_onnxruntime(made), made.stat().st_size


def _onnxruntime_static(contest: Contest, folder: Path) -> tuple[Answer, int]:
    """`quantize_static` after `quant_pre_process`, as ONNX Runtime's guide has it for a CPU with VNNI."""
    from onnxruntime.quantization import CalibrationDataReader, QuantType, quantize_static
    from onnxruntime.quantization.shape_inference import quant_pre_process

    class Reader(CalibrationDataReader):  # type: ignore[misc]
        def __init__(self) -> None:
            self.feeds: Iterator[Feed] = iter([contest.feed(raw) for raw in contest.calibration[:CALIBRATED]])

        def get_next(self) -> Feed | None:
            return next(self.feeds, None)

    ready, made = folder / "ready.onnx", folder / "int8.onnx"
    quant_pre_process(_onnx(contest, folder), ready, skip_symbolic_shape=True)
    quantize_static(
        ready, made, Reader(), per_channel=True, activation_type=QuantType.QUInt8, weight_type=QuantType.QInt8
    )
    return _by_onnxruntime(made), made.stat().st_size


def _nncf(contest: Contest, folder: Path) -> tuple[Answer, int]:
    """`nncf.quantize` on the OpenVINO model, with the type of model that its guide asks to name."""
    import nncf
    import openvino as ov

    core = ov.Core()
    model = core.read_model(_onnx(contest, folder))
    texts = any(dims.get(1) for dims in contest.dims.values())
    data = nncf.Dataset([contest.feed(raw) for raw in contest.calibration[:CALIBRATED]])
    made = nncf.quantize(model, data, subset_size=CALIBRATED, model_type=nncf.ModelType.TRANSFORMER if texts else None)
    ov.save_model(made, folder / "int8.xml")
    compiled = core.compile_model(
        folder / "int8.xml", "CPU", {"INFERENCE_NUM_THREADS": 1, "PERFORMANCE_HINT": "LATENCY"}
    )
    size = sum((folder / f"int8.{suffix}").stat().st_size for suffix in ("xml", "bin"))
    return lambda feed: np.asarray(compiled(feed)[0]), size


def _torchao(contest: Contest, folder: Path, config: Any) -> tuple[Answer, int]:
    from torchao.quantization import quantize_

    folder.mkdir(parents=True, exist_ok=True)
    made = copy.deepcopy(contest.net)
    quantize_(made, config)
    torch.save(made.state_dict(), folder / "int8.pt")

    def answer(feed: Feed) -> np.ndarray:
        with torch.inference_mode():
            return np.asarray(made(*(torch.from_numpy(array) for array in feed.values())))

    return answer, (folder / "int8.pt").stat().st_size


def _torchao_weights(contest: Contest, folder: Path) -> tuple[Answer, int]:
    from torchao.quantization import Int8WeightOnlyConfig

    return _torchao(contest, folder, Int8WeightOnlyConfig())


def _torchao_dynamic(contest: Contest, folder: Path) -> tuple[Answer, int]:
    from torchao.quantization import Int8DynamicActivationInt8WeightConfig

    return _torchao(contest, folder, Int8DynamicActivationInt8WeightConfig())


RIVALS: dict[str, Callable[[Contest, Path], tuple[Answer, int]]] = {
    "ONNX Runtime dynamic": _onnxruntime_dynamic,
    "ONNX Runtime static": _onnxruntime_static,
    "nncf PTQ": _nncf,
    "torchao int8 weights": _torchao_weights,
    "torchao int8 dynamic": _torchao_dynamic,
}
"""By name."""
