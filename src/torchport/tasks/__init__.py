"""The tasks: one file each with its facts, steps, metric and sample. Adding one is its file and a row here."""

from __future__ import annotations

import re
from pathlib import Path

from ..registry import Entry, Registry
from .base import Task
from .parts import Item, Session
from .pipeline import Pipeline
from .plan import Plan

__all__ = ["Item", "Pipeline", "Plan", "Session", "Task", "need_task", "task_for", "tasks"]

tasks: Registry[Task] = Registry(
    "tasks",
    {
        "embedding": Entry(
            "torchport.tasks.embedding:EmbeddingTask", "text", "a text -> a vector to compare with others"
        ),
        "image-classification": Entry(
            "torchport.tasks.image_classification:ImageClassification", None, "a picture -> labelled scores"
        ),
        "image-recognition": Entry(
            "torchport.tasks.image_recognition:ImageRecognition",
            None,
            "a picture -> who or what it shows, of those enrolled; or the text in it",
        ),
        "keyword-extraction": Entry(
            "torchport.tasks.keyword_extraction:KeywordExtraction", "text", "a text -> its keywords"
        ),
        "object-detection": Entry(
            "torchport.tasks.object_detection:ObjectDetection", None, "a picture -> labelled boxes"
        ),
        "object-tracking": Entry(
            "torchport.tasks.object_tracking:ObjectTracking", "video", "a video -> numbered boxes, frame by frame"
        ),
        "speech-recognition": Entry(
            "torchport.tasks.speech_recognition:SpeechRecognition",
            "audio",
            "a recording -> what is said in it, with times",
        ),
        "speech-synthesis": Entry("torchport.tasks.speech_synthesis:SpeechSynthesis", "audio", "a text -> speech"),
        "tensor": Entry("torchport.tasks.tensor:TensorTask", None, "named tensors in, named tensors out: any module"),
        "text-classification": Entry(
            "torchport.tasks.text_classification:TextClassification",
            "text",
            "a text -> labelled scores; zero-shot with an embedder",
        ),
        "text-generation": Entry(
            "torchport.tasks.text_generation:TextGeneration", "text", "the beginning of a text -> its continuation"
        ),
        "translation": Entry(
            "torchport.tasks.translation:TranslationTask", "text", "a text -> the same in another language"
        ),
        "voice-conversion": Entry(
            "torchport.tasks.voice_conversion:VoiceConversion", "audio", "speech -> the same words in another voice"
        ),
    },
)


def task_for(architecture: str) -> str:
    """The name of the task that models of a class are for, as Hugging Face's `config.json` names it; `tensor` where
    none claims it.
    """
    if architecture:
        for name in tasks.names():
            if any(re.fullmatch(pattern, architecture) for pattern in tasks.get(name).architectures):
                return name
    return "tensor"


def need_task(architecture: str, picked: str, data: Path) -> None:
    """See that the task picked for an architecture can read the data: raw tensors where no task claims it.

    Raises:
        UsageError: no task claims the architecture, and the data holds no tensors.
    """
    from ..errors import UsageError

    takes = tasks.get("tensor").suffixes
    if (
        picked != "tensor"
        or not architecture
        or data.suffix.lower() in takes
        or (data.is_dir() and any(path.suffix.lower() in takes for path in data.rglob("*")))
    ):
        return
    raise UsageError(
        f"torchport has no task for a {architecture}",
        "name the --task whose answer it gives, or deploy the raw tensors: --task tensor with --input, or with --data "
        "of tensors",
    )
