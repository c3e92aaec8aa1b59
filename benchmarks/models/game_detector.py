"""Detectors of what moves in three console games, trained here in under a minute each on frames whose boxes are exact.

`ale-py` plays the games (its wheel carries them), `ocatari` reads the objects' boxes from the console's memory, so that
frames and labels have no limit. Each factory is a source for `torchport deploy`:

    torchport deploy benchmarks/models/game_detector.py:freeway --task object-detection --data FOLDER ...

with FOLDER from `frames("freeway")`: pictures and `instances.json`, in the COCO format. Which object of the game a box
belongs to is its `track_id`, and pictures are in the order they were played, so the same folder serves tracking.
"""

from __future__ import annotations

import importlib
import json
import sys
import types
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from cached import cached, package, quick
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

GAMES = {
    "freeway": ("Car", "Chicken"),
    "pong": ("Player", "Enemy", "Ball"),
    "mspacman": ("Player", "Ghost", "PowerPill", "Pill"),
}
"""Game -> what is to be found in it, in the order of the detector's classes."""

STRIDE, HEIGHT, WIDTH = 4, 208, 160
BOX_UNIT = 16
THRESHOLD = 0.35
_SKIP, _HOLD, _WARM_UP = 4, 4, 60


class Box(NamedTuple):
    """An object of a frame: its class's number, its box in pixels, and which of the game's objects it is."""

    index: int
    x: int
    y: int
    width: int
    height: int
    track: int


def play(game: str, seed: int) -> Iterator[tuple[np.ndarray, list[Box]]]:
    """A game played at random for ever: every fourth frame as uint8 [208, 160, 3] in RGB, with its boxes."""
    console, objects_of = _console(game, seed)
    actions, random = console.getMinimalActionSet(), np.random.default_rng(seed)
    objects, action, count = objects_of._init_objects_ram(False), actions[0], 0
    while True:
        if count % _HOLD == 0:
            action = actions[random.integers(len(actions))]
        for _ in range(_SKIP):
            console.act(action)
        count += 1
        if console.game_over():
            console.reset_game()
            objects = objects_of._init_objects_ram(False)
        with np.errstate(over="ignore"):  # it counts in the console's bytes
            objects_of._detect_objects_ram(objects, console.getRAM(), False)
        if count > _WARM_UP:
            yield console.getScreenRGB()[:HEIGHT].copy(), _boxes(objects, GAMES[game])


def _console(game: str, seed: int) -> tuple[object, types.ModuleType]:
    """The emulator, and ocatari's reader of that game's memory: its package is not imported, it would ask for
    gymnasium.
    """
    from ale_py import ALEInterface, LoggerMode, roms

    if "ocatari" not in sys.modules:
        folder = package("ocatari")
        for name, place in (("ocatari", folder), ("ocatari.ram", folder / "ram")):
            sys.modules[name] = types.ModuleType(name)
            sys.modules[name].__path__ = [str(place)]
    ALEInterface.setLoggerMode(LoggerMode.Error)
    console = ALEInterface()
    console.setInt("random_seed", seed)
    console.setFloat("repeat_action_probability", 0.0)
    console.loadROM(roms.get_rom_path({"mspacman": "ms_pacman"}.get(game, game)))
    return console, importlib.import_module(f"ocatari.ram.{game}")


def _boxes(objects: list, classes: tuple[str, ...]) -> list[Box]:
    """The objects that can be seen: of a known class, and with a part of at least a pixel inside the frame."""
    boxes = []
    for track, one in enumerate(objects):
        if not one or one.category not in classes:
            continue
        x, y, width, height = map(int, one.xywh)
        left, top, right, bottom = max(x, 0), max(y, 0), min(x + width, WIDTH), min(y + height, HEIGHT)
        if left < right and top < bottom:
            boxes.append(Box(classes.index(one.category), left, top, right - left, bottom - top, track))
    return boxes


def some(game: str, count: int, seed: int) -> tuple[np.ndarray, list[list[Box]]]:
    """The first frames of a game: uint8 [count, 208, 160, 3], and the boxes of each."""
    played = play(game, seed)
    frames, boxes = zip(*(next(played) for _ in range(count)), strict=True)
    return np.stack(frames), list(boxes)


TRAINING, QUICK = (500, 6), (250, 6)
"""Frames that a detector is trained on, and how often; of a quick run."""


def frames(game: str, count: int = 150, seed: int = 99) -> Path:
    """A folder of frames of a game that no detector was trained on: `00000.png` ..., and `instances.json` (COCO, with
    `track_id`).
    """

    def make(folder: Path) -> None:
        from PIL import Image

        pictures, annotations = [], []
        for number, (frame, boxes) in enumerate(zip(*some(game, count, seed), strict=True), 1):
            name = f"{number - 1:05}.png"
            Image.fromarray(frame).save(folder / name)
            pictures.append({"id": number, "file_name": name, "width": WIDTH, "height": HEIGHT})
            for box in boxes:
                at = [box.x, box.y, box.width, box.height]
                annotations.append(
                    {
                        "id": len(annotations) + 1,
                        "image_id": number,
                        "category_id": box.index + 1,
                        "bbox": at,
                        "area": box.width * box.height,
                        "iscrowd": 0,
                        "track_id": box.track,
                    }
                )
        categories = [{"id": index, "name": name} for index, name in enumerate(GAMES[game], 1)]
        (folder / "instances.json").write_text(
            json.dumps({"images": pictures, "annotations": annotations, "categories": categories})
        )

    return cached(make, key=(game, str(count), str(seed)))


class Detector(nn.Module):
    """Five convolutions, a heat map of the objects' centres and a box for each cell of 4 x 4 pixels.

    float32 [batch, 3, height, width] of RGB in 0..1 -> `heat`, logits [batch, classes, height / 4, width / 4], and
    `box`, [batch, 4, height / 4, width / 4]: the centre's place within its cell (x, y, in cells), width and height (in
    units of 16 pixels).
    """

    def __init__(self, classes: int, channels: int = 32) -> None:
        super().__init__()

        def block(before: int, after: int, stride: int) -> nn.Sequential:
            return nn.Sequential(nn.Conv2d(before, after, 3, stride, 1, bias=False), nn.BatchNorm2d(after), nn.ReLU())

        self.body = nn.Sequential(
            block(3, 16, 2), block(16, channels, 2), *(block(channels, channels, 1) for _ in range(3))
        )
        self.heat = nn.Conv2d(channels, classes, 1)
        self.box = nn.Conv2d(channels, 4, 1)
        nn.init.constant_(self.heat.bias, -4.0)  # most cells are no centre: training starts from there

    def forward(self, pixels: Tensor) -> dict[str, Tensor]:
        """The two maps of a batch of frames."""
        features = self.body(pixels)
        return {"heat": self.heat(features), "box": self.box(features)}


def detector(game: str, seed: int = 1) -> Detector:
    """The detector of a game, trained on its first frames; kept by hash."""
    count, epochs = QUICK if quick() else TRAINING

    def make(folder: Path) -> None:
        save_file(train(game, seed, count, epochs).state_dict(), folder / "detector.safetensors")

    model = Detector(len(GAMES[game]))
    model.load_state_dict(
        load_file(cached(make, key=(game, str(seed), str(count), str(epochs))) / "detector.safetensors")
    )
    return model.eval()


def freeway() -> Detector:
    """Cars and chickens."""
    return detector("freeway")


def pong() -> Detector:
    """Two paddles and a ball."""
    return detector("pong")


def mspacman() -> Detector:
    """The player, ghosts and pills: about 150 boxes a frame."""
    return detector("mspacman")


def train(game: str, seed: int, count: int, epochs: int, size: int = 10) -> Detector:
    """A detector trained from seeded weights, in batches of `size` frames."""
    pictures, boxes = some(game, count, seed)
    random = np.random.default_rng(seed)
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        model = Detector(len(GAMES[game])).train()
    optimizer = torch.optim.AdamW(model.parameters(), 3e-3)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, 1e-2, total_steps=epochs * -(-count // size))
    for _ in range(epochs):
        order = random.permutation(count)
        for start in range(0, count, size):
            chosen = order[start : start + size]
            pixels = torch.from_numpy(pictures[chosen]).permute(0, 3, 1, 2).float() / 255
            loss = _loss(model(pixels), *_targets([boxes[i] for i in chosen], len(GAMES[game])))
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()
    return model.eval()


def _targets(boxes: list[list[Box]], classes: int) -> tuple[Tensor, Tensor, Tensor]:
    """The heat map (1 at a centre, 0.4 around it), the box map, and how much each cell of the box map counts."""
    rows, columns = HEIGHT // STRIDE, WIDTH // STRIDE
    heat, box = torch.zeros(len(boxes), classes, rows, columns), torch.zeros(len(boxes), 4, rows, columns)
    counts = torch.zeros(len(boxes), 1, rows, columns)
    for number, frame in enumerate(boxes):
        for one in frame:
            x, y = (one.x + one.width / 2) / STRIDE, (one.y + one.height / 2) / STRIDE
            column, row = min(int(x), columns - 1), min(int(y), rows - 1)
            around = heat[number, one.index, max(row - 1, 0) : row + 2, max(column - 1, 0) : column + 2]
            around.clamp_(min=0.4)
            heat[number, one.index, row, column] = 1
            box[number, :, row, column] = torch.tensor(
                [x - column, y - row, one.width / BOX_UNIT, one.height / BOX_UNIT]
            )
            # a ghost among 150 pills must not be lost in their number
            counts[number, 0, row, column] = 1 / sum(other.index == one.index for other in frame) ** 0.5
    return heat, box, counts


def _loss(maps: dict[str, Tensor], heat: Tensor, box: Tensor, counts: Tensor) -> Tensor:
    """The focal loss of heat maps (Zhou et al., Objects as Points, 2019), and the distance of the boxes."""
    score, centre = maps["heat"].sigmoid().clamp(1e-4, 1 - 1e-4), heat == 1
    hit = (1 - score) ** 2 * score.log() * centre
    miss = (1 - heat) ** 4 * score**2 * (1 - score).log() * ~centre
    total = counts.sum().clamp(min=1)
    return -(hit + miss).sum() / total + 2 * ((maps["box"] - box).abs() * counts).sum() / total


Found = tuple[float, int, float, float, float, float]


@torch.inference_mode()
def detect(model: Detector, frame: np.ndarray, threshold: float = THRESHOLD) -> list[Found]:
    """The eager reference, plain PyTorch: (score, class, x1, y1, x2, y2) of one frame, the surest first; boxes in
    pixels.
    """
    pixels = torch.from_numpy(frame).permute(2, 0, 1)[None].float() / 255
    maps = model(pixels)
    score = maps["heat"].sigmoid()[0]
    peaks = score * (nn.functional.max_pool2d(score, 3, 1, 1) == score)
    found = []
    for index, row, column in (peaks > threshold).nonzero().tolist():
        x, y, width, height = maps["box"][0, :, row, column].tolist()
        x, y, width, height = (column + x) * STRIDE, (row + y) * STRIDE, width * BOX_UNIT, height * BOX_UNIT
        found.append(
            (float(peaks[index, row, column]), index, x - width / 2, y - height / 2, x + width / 2, y + height / 2)
        )
    return sorted(found, reverse=True)
