"""Handwritten digits: four small networks, trained here in under a minute each, and the 5,000 digits they are trained
on.

The digits are OpenCV's (`digits.png` of the system's package opencv-doc: 500 a class, 20 x 20 pixels); where it is not
installed, scikit-learn's 1,797 of 8 x 8 pixels, enlarged to 20 x 20. Each factory is a source for `torchport deploy`:

    classifier      pictures of a digit -> 10 scores
    classic         the same by the larger network that PyTorch's own example trains on such digits
    embedder        pictures of a digit -> a unit vector of 32, near that of the same digit; it has seen 0 to 6 only
    reader          pictures of a line of 4 to 8 digits -> logits [batch, time, 11] for CTC, class 0 is the blank
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import torch
from cached import cached, quick
from PIL import Image
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

SHEETS = ("/usr/share/doc/opencv-doc/examples/data/digits.png", "/usr/share/doc/opencv-doc/examples/data/digits.png.gz")
HELD_BACK = 100
"""Pictures of each class that no network has seen: the last ones."""

SIDE, LINE = 20, (32, 160)
SEEN = 7
"""The embedder is trained on the first seven digits; 7, 8 and 9 are as new to it as a stranger's face to a face
embedder.
"""

PICTURE = {"color": "L", "resize": [SIDE, SIDE], "mean": 0.5, "std": 0.5}
TEXT = {"color": "L", "resize": list(LINE), "mean": 0.5, "std": 0.5, "head": "ctc", "alphabet": "0123456789"}


def sheet() -> Path | None:
    """OpenCV's digits, where they are installed."""
    return next((place for place in map(Path, SHEETS) if place.is_file()), None)


def digits() -> np.ndarray:
    """uint8 [10, pictures a class, 20, 20], white on black."""
    import gzip
    import io

    place = sheet()
    if place:
        content = gzip.decompress(place.read_bytes()) if place.suffix == ".gz" else place.read_bytes()
        written = np.asarray(Image.open(io.BytesIO(content)).convert("L"))
        return written.reshape(50, SIDE, 100, SIDE).transpose(0, 2, 1, 3).reshape(10, 500, SIDE, SIDE)
    from sklearn.datasets import load_digits

    known = load_digits()
    few = int(np.bincount(known.target).min())
    enlarged = [
        np.asarray(Image.fromarray((one * 15.9375).astype(np.uint8)).resize((SIDE, SIDE), Image.Resampling.BICUBIC))
        for one in known.images
    ]
    return np.stack(
        [np.stack([enlarged[i] for i in np.flatnonzero(known.target == label)[:few]]) for label in range(10)]
    )


def known() -> np.ndarray:
    """uint8 [10, pictures, 20, 20] to train on."""
    return digits()[:, :-HELD_BACK]


def unseen() -> np.ndarray:
    """uint8 [10, 100, 20, 20] held back."""
    return digits()[:, -HELD_BACK:]


def gather(folder: Path, pictures: np.ndarray) -> Path:
    """Pictures [10, count, 20, 20] as PNG files `DIGIT/NUMBER.png`."""
    for label, some in enumerate(pictures):
        place = folder / str(label)
        place.mkdir(parents=True, exist_ok=True)
        for number, one in enumerate(some):
            Image.fromarray(one).save(place / f"{number:03}.png")
    return folder


def line(random: np.random.Generator, pictures: np.ndarray) -> tuple[Image.Image, str]:
    """A line of 4 to 8 digits, written unevenly, and what it says."""
    text = "".join(str(digit) for digit in random.integers(0, 10, random.integers(4, 9)))
    canvas = np.zeros((32, 12 + 22 * len(text)), np.uint8)
    at = int(random.integers(1, 6))
    for digit in text:
        one = pictures[int(digit), random.integers(pictures.shape[1])]
        top = int(random.integers(2, 11))
        place = canvas[top : top + SIDE, at : at + SIDE]
        np.maximum(place, one[:, : place.shape[1]], out=place)
        at += int(random.integers(17, 22))
    return Image.fromarray(canvas), text


def lines(folder: Path, count: int, seed: int = 7) -> Path:
    """Lines of digits that no network has seen, as PNG files `line_NNN_TEXT.png`."""
    folder.mkdir(parents=True, exist_ok=True)
    random, pictures = np.random.default_rng(seed), unseen()
    for number in range(count):
        picture, text = line(random, pictures)
        picture.save(folder / f"line_{number:03}_{text}.png")
    return folder


def classifier() -> nn.Module:
    """float32 [batch, 1, 20, 20] -> scores float32 [batch, 10]."""
    return _kept(_small(10), _train_classifier)


def classic() -> nn.Module:
    """float32 [batch, 1, 20, 20] -> scores float32 [batch, 10]; 545,000 parameters."""
    return _kept(_classic(), _train_classic, str(quick()))


def embedder() -> nn.Module:
    """float32 [batch, 1, 20, 20] -> unit vectors float32 [batch, 32]."""
    return _kept(Embedder(), _train_embedder, str(quick()))


def reader() -> nn.Module:
    """float32 [batch, 1, 32, 160] -> logits float32 [batch, 40, 11]."""
    return _kept(Reader(), _train_reader, str(quick()))


def _small(outputs: int) -> nn.Sequential:
    """Two convolutions and two layers: 52,000 parameters with ten outputs."""
    return nn.Sequential(
        nn.Conv2d(1, 16, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2), nn.Conv2d(16, 32, 3, padding=1), nn.ReLU(),
        nn.MaxPool2d(2), nn.Flatten(), nn.Linear(800, 64), nn.ReLU(), nn.Linear(64, outputs)
    )  # fmt: skip


def _classic() -> nn.Sequential:
    """The layout of PyTorch's example for MNIST: two convolutions and two layers, with dropout."""
    return nn.Sequential(
        nn.Conv2d(1, 32, 3), nn.ReLU(), nn.Conv2d(32, 64, 3), nn.ReLU(), nn.MaxPool2d(2), nn.Dropout(0.25),
        nn.Flatten(), nn.Linear(4096, 128), nn.ReLU(), nn.Dropout(0.5), nn.Linear(128, 10)
    )  # fmt: skip


class Embedder(nn.Module):
    """The small network with a vector of 32 at its end."""

    def __init__(self) -> None:
        super().__init__()
        self.body = _small(32)

    def forward(self, pixels: Tensor) -> Tensor:
        """Vectors of length 1."""
        return nn.functional.normalize(self.body(pixels), dim=1)


class Reader(nn.Module):
    """Convolutions down to one row of 40 columns, each with its surroundings, and eleven scores a column."""

    def __init__(self) -> None:
        super().__init__()

        def block(inputs: int, outputs: int, stride: tuple[int, int]) -> nn.Sequential:
            return nn.Sequential(
                nn.Conv2d(inputs, outputs, 3, stride, 1, bias=False), nn.BatchNorm2d(outputs), nn.ReLU()
            )

        self.body = nn.Sequential(
            block(1, 24, (2, 2)), block(24, 48, (2, 2)), block(48, 64, (2, 1)), block(64, 96, (2, 1))
        )
        self.around = nn.Sequential(nn.Conv1d(192, 96, 5, padding=2), nn.ReLU(), nn.Conv1d(96, 11, 1))

    def forward(self, pixels: Tensor) -> Tensor:
        """Logits, a column of 4 pixels each."""
        rows = self.body(pixels)
        return self.around(rows.flatten(1, 2)).transpose(1, 2)


def _kept(module: nn.Module, train: Callable[[Path], None], *key: str) -> nn.Module:
    """The network as it was trained once; `key` is what that depends on beside the digits."""
    module.load_state_dict(load_file(cached(train, key=[str(digits().shape[1]), *key]) / "weights.safetensors"))
    return module.eval()


def _pixels(pictures: np.ndarray) -> Tensor:
    """float32 [pictures, 1, height, width] in -1..1."""
    return (torch.from_numpy(np.ascontiguousarray(pictures)).float()[:, None] / 255 - 0.5) / 0.5


def _batches(pictures: np.ndarray, epochs: int) -> Iterator[tuple[Tensor, Tensor]]:
    """Shuffled batches of 100, shifted by up to two pixels: the same for every run."""
    random, count = np.random.default_rng(0), pictures.shape[1]
    labels = np.repeat(np.arange(len(pictures)), count)
    flat = pictures.reshape(-1, *pictures.shape[2:])
    for _ in range(epochs):
        for rows in np.array_split(random.permutation(len(flat)), len(flat) // 100):
            shifted = np.roll(flat[rows], tuple(random.integers(-2, 3, 2)), (1, 2))
            yield _pixels(shifted), torch.from_numpy(labels[rows])


def _train_classifier(folder: Path) -> None:
    _train_scores(lambda: _small(10), folder, 8)


def _train_classic(folder: Path) -> None:
    _train_scores(_classic, folder, 3 if quick() else 8)


def _train_scores(build: Callable[[], nn.Module], folder: Path, epochs: int) -> None:
    torch.manual_seed(0)
    net = build()
    _descend(net, ((nn.functional.cross_entropy(net(x), y)) for x, y in _batches(known(), epochs)), 40 * epochs)
    save_file(net.state_dict(), folder / "weights.safetensors")


def _train_embedder(folder: Path) -> None:
    """By a cosine softmax over the seen digits (Wang et al. 2018, CosFace): the classes' directions are thrown away
    afterwards.
    """
    torch.manual_seed(0)
    net, epochs = Embedder(), 4 if quick() else 8
    directions = nn.Parameter(torch.randn(SEEN, 32))

    def loss(x: Tensor, y: Tensor) -> Tensor:
        cosines = net(x) @ nn.functional.normalize(directions, dim=1).T
        return nn.functional.cross_entropy(16 * (cosines - 0.2 * nn.functional.one_hot(y, SEEN)), y)

    _descend(net, (loss(x, y) for x, y in _batches(known()[:SEEN], epochs)), 28 * epochs, [directions])
    save_file(net.state_dict(), folder / "weights.safetensors")


def _train_reader(folder: Path) -> None:
    torch.manual_seed(0)
    net, steps, random, pictures = Reader(), 20 if quick() else 500, np.random.default_rng(0), known()

    def losses() -> Iterator[Tensor]:
        for _ in range(steps):
            drawn = [line(random, pictures) for _ in range(32)]
            rows = np.stack([np.asarray(picture.resize(LINE[::-1], Image.Resampling.BILINEAR)) for picture, _ in drawn])
            told = torch.tensor([int(digit) + 1 for _, text in drawn for digit in text])
            frames = net(_pixels(rows)).log_softmax(2).transpose(0, 1)
            lengths = torch.tensor([len(text) for _, text in drawn])
            yield nn.functional.ctc_loss(frames, told, torch.full((32,), frames.shape[0]), lengths, zero_infinity=True)

    _descend(net, losses(), steps)
    save_file(net.state_dict(), folder / "weights.safetensors")


def _descend(net: nn.Module, losses: Iterator[Tensor], steps: int, more: list[nn.Parameter] | None = None) -> None:
    """AdamW with one rise and fall of the rate."""
    optimiser = torch.optim.AdamW([*net.train().parameters(), *(more or [])], lr=1e-3, weight_decay=1e-3)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, 3e-3, total_steps=steps + 1)
    for loss in losses:
        optimiser.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(net.parameters(), 5.0)
        optimiser.step()
        schedule.step()
    net.eval()
