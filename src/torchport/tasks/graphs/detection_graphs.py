"""The graphs after a detector, of core operators: its outputs into boxes, and the best of those.

`detection_heads.py` says which class of `Centers`, `Queries` and `Rows` reads the outputs of which head; `Best` is the
in-graph form of `boxes.best`.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from ..shared.detection_facts import DetectionFacts


class Centers(nn.Module):
    """Heat maps of centres (Zhou et al., Objects as Points, 2019): a box where a cell is the highest of its 3 x 3
    neighbours.

    heat, logits [batch, classes, rows, columns], and box [batch, 4, rows, columns]: the centre's place within its cell
    (x, y, in cells of `stride` pixels), width and height (in units of `box_unit` pixels) -> boxes [batch, rows *
    columns, 4], scores.
    """

    def __init__(self, facts: DetectionFacts) -> None:
        super().__init__()
        self.stride, self.unit = float(facts.stride), float(facts.box_unit)

    def forward(self, heat: Tensor, box: Tensor) -> dict[str, Tensor]:
        """Boxes in pixels of the input, and the scores of every class."""
        score = heat.sigmoid()
        peaks = score * (nn.functional.max_pool2d(score, 3, 1, 1) == score).to(score.dtype)
        columns = torch.arange(heat.shape[3], dtype=torch.float32)[None, None, :]
        rows = torch.arange(heat.shape[2], dtype=torch.float32)[None, :, None]
        centre = torch.stack([(box[:, 0] + columns) * self.stride, (box[:, 1] + rows) * self.stride], 1)
        half = box[:, 2:] * (self.unit / 2)
        return {
            "boxes": torch.cat([centre - half, centre + half], 1).flatten(2).transpose(1, 2),
            "scores": peaks.flatten(2).transpose(1, 2),
        }


class Queries(nn.Module):
    """DETR and its descendants: logits [batch, queries, classes] and pred_boxes [batch, queries, 4], centre and size as
    shares of the input.

    Args:
        none: the last class is `no object`, and scores are a softmax; else each class has a score of its own.
    """

    size: Tensor

    def __init__(self, facts: DetectionFacts, *, none: bool = True) -> None:
        super().__init__()
        self.none = none
        height, width = facts.size
        self.register_buffer("size", torch.tensor([width, height], dtype=torch.float32))

    def forward(self, logits: Tensor, pred_boxes: Tensor) -> dict[str, Tensor]:
        """Boxes in pixels of the input, and the scores of every class."""
        scores = logits.softmax(-1)[:, :, :-1] if self.none else logits.sigmoid()
        return {"boxes": _corners(pred_boxes[:, :, :2] * self.size, pred_boxes[:, :, 2:] * self.size), "scores": scores}


class Rows(nn.Module):
    """YOLO as it is exported by its makers: [batch, anchors, 4 + classes], centre and size in pixels, then scores.

    Args:
        upright: the last two axes are the other way round.
    """

    def __init__(self, facts: DetectionFacts, *, upright: bool = False) -> None:
        super().__init__()
        self.upright = upright

    def forward(self, rows: Tensor) -> dict[str, Tensor]:
        """Boxes in pixels of the input, and the scores of every class."""
        rows = rows.transpose(1, 2) if self.upright else rows
        return {"boxes": _corners(rows[:, :, :2], rows[:, :, 2:4]), "scores": rows[:, :, 4:]}


def _corners(centre: Tensor, size: Tensor) -> Tensor:
    return torch.cat([centre - size / 2, centre + size / 2], -1)


class Best(nn.Module):
    """boxes [1, n, 4] and scores [1, n, classes] -> found [min(top, n * classes), 6], the same as `boxes.best` with its
    `nms`.

    A box is kept unless a kept one before it overlaps it too much. That is a loop, but a box's fate is settled once
    those of the boxes before it are: starting from all kept, asking all boxes at once `top` times settles one more rank
    each time.
    """

    earlier: Tensor

    def __init__(self, facts: DetectionFacts, count: int) -> None:
        super().__init__()
        assert isinstance(facts.nms, float), "there is a graph only where something is suppressed"
        self.threshold, self.nms = facts.threshold, facts.nms
        self.top = min(int(facts.top), count)
        self.register_buffer("earlier", torch.ones(self.top, self.top).tril(-1))

    def forward(self, boxes: Tensor, scores: Tensor) -> dict[str, Tensor]:
        """Rows of x1, y1, x2, y2, score, class by rank; zeros for what is not an answer."""
        classes = scores.shape[2]
        values, places = torch.topk(scores[0].reshape(-1), self.top)
        label = places % classes
        chosen = torch.index_select(boxes[0], 0, torch.div(places, classes, rounding_mode="floor"))
        valid = (values > self.threshold).to(values.dtype)
        sides = (
            torch.minimum(chosen[:, None, 2:], chosen[None, :, 2:])
            - torch.maximum(chosen[:, None, :2], chosen[None, :, :2])
        ).clamp(min=0)
        shared = sides[:, :, 0] * sides[:, :, 1]
        area = (chosen[:, 2] - chosen[:, 0]) * (chosen[:, 3] - chosen[:, 1])
        whole = area[:, None] + area[None, :] - shared
        doubled = (shared > self.nms * whole) & (label[:, None] == label[None, :]) & (whole > 0)
        before = doubled.to(values.dtype) * self.earlier
        kept = valid
        for _ in range(self.top - 1):
            kept = valid * (1 - torch.matmul(before, kept)).clamp(min=0)
        found = torch.cat([chosen, values[:, None], label.to(values.dtype)[:, None]], 1)
        return {"found": found * kept[:, None]}
