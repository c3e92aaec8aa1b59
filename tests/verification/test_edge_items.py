"""What every task of texts, pictures or sound is tried on beside the user's data."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from torchport.deployment.explore import capture
from torchport.deployment.prove import ReferenceAnswers, prove_reference
from torchport.deployment.request import Request
from torchport.testing.samples import sample_of
from torchport.verification.trials import EDGES, Trial


def proven(task: str, folder: Path) -> ReferenceAnswers:
    one = sample_of(task, folder)
    request = Request(one.source, folder / "x.tport", task, data=one.data, settings=one.settings)
    return prove_reference(capture(request, lambda stage, detail: None), lambda item: None)


def edges(found: ReferenceAnswers, graph: str) -> dict[str, Trial]:
    return {one.what: one for one in found.trials if one.stage == EDGES and one.graph == graph}


def test_texts_are_tried_with_one_word_with_no_visible_letter_and_cut_off(tmp_path: Path) -> None:
    made = edges(proven("text-classification", tmp_path), "model")
    assert made["on a text longer than the model reads"].feed["input_ids"].shape[1] == 32
    assert {"on a text of one word", "on a text of an invisible letter"} <= made.keys()
    assert not any(one.precise for one in made.values())


def test_pictures_are_tried_black_and_white_from_the_first_graph_to_the_last(tmp_path: Path) -> None:
    found = proven("image-classification", tmp_path)
    values = {
        what: np.unique(one.feed["image"]).tolist()
        for what, one in edges(found, "preprocess").items()
        if "image" in one.feed
    }
    assert values == {"on a black picture": [0], "on a white picture": [255]}
    assert edges(found, "model").keys() == edges(found, "postprocess").keys() == values.keys()
    assert all(one.precise for one in edges(found, "model").values())


@pytest.mark.parametrize("task", ["voice-conversion", "speech-recognition"])
def test_recordings_are_tried_silent_and_short_where_the_task_asks_its_model_at_all(task: str, tmp_path: Path) -> None:
    found = proven(task, tmp_path)
    said = {one.what for one in found.trials if one.stage == EDGES}
    assert said and said <= {"on a second of silence", "on a fiftieth of a second of sound"}
