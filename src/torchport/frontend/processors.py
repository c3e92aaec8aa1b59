"""What transformers itself does to an input before a folder's model sees it: read into facts, and compared with what
torchport does.

A folder's JSON files say less than transformers makes of them: defaults stand in code, and `tokenizer_config.json`
changes what `tokenizer.json` says. So its own tokenizer and image processor are opened where they can be, offline and
without code of the folder, and asked.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ..errors import BadInput
from ..system import disk
from ..system.noise import quiet

if TYPE_CHECKING:
    from ..tasks import Item
    from ..tasks.facts import Facts
    from ..tasks.shared.picture_facts import PictureFacts
    from ..tasks.shared.tokens import TextFacts

COMPARED = 8
"""So many items are prepared by transformers too."""

LEVELS_APART = 1.0
"""Mean difference of two pictures, in levels of 0..255, from which on they were not prepared alike: resampling differs
by less.
"""

_OFFLINE = {"local_files_only": True, "trust_remote_code": False}
_VOCABULARIES = ("vocab.txt", "vocab.json", "spiece.model", "sentencepiece.bpe.model", "tokenizer.model", "spm.model")


@dataclass(frozen=True)
class Processors:
    """Transformers' own tokenizer and image processor of a folder; None where it has none, or none that opens."""

    tokenizer: Any = None
    pictures: Any = None

    def differences(self, items: Sequence[Item], facts: Facts, given: Mapping[str, Any]) -> list[str]:
        """Where torchport prepares the user's items otherwise than transformers does, a sentence each.

        Args:
            given: facts that the user gave: what they change is meant.
        """
        from ..tasks.shared.picture_facts import PictureFacts
        from ..tasks.shared.tokens import TextFacts

        found: list[str] = []
        for item in items[:COMPARED]:
            try:
                if (
                    self.pictures is not None
                    and isinstance(facts, PictureFacts)
                    and not {"resize", "crop", "mean", "std", "scale", "color", "interpolation"} & set(given)
                ):
                    found += _pictures_apart(self.pictures, item.read(), facts)
                if self.tokenizer is not None and isinstance(facts, TextFacts) and "tokenizer" not in given:
                    found += _tokens_apart(self.tokenizer, item.read(), facts)
            except BadInput:
                continue
            if found:
                return found
        return found


def open_processors(folder: Path, *, text: bool) -> Processors:
    """The processors of a folder.

    Args:
        text: whether its model reads token ids.
    """
    pictures = (
        _opened("AutoImageProcessor", folder) if (folder / "preprocessor_config.json").is_file() and not text else None
    )
    told = (folder / "tokenizer_config.json").is_file()
    tokenizer = (
        _opened("AutoTokenizer", folder)
        if text and (told or not (folder / "tokenizer.json").is_file()) and _has_vocabulary(folder)
        else None
    )
    return Processors(tokenizer if getattr(tokenizer, "backend_tokenizer", None) is not None else None, pictures)


def tokenizer_file(tokenizer: Any, folder: Path, *, lowercase: bool = False) -> Path:
    """A `tokenizer.json` that does what a tokenizer of transformers does: the folder's own where that is so.

    Args:
        lowercase: texts are made lower case first, as sentence-transformers does where its configuration says so.
    """
    from tokenizers import Tokenizer, normalizers

    own = folder / "tokenizer.json"
    made = Tokenizer.from_str(tokenizer.backend_tokenizer.to_str())
    if lowercase:
        made.normalizer = normalizers.Sequence(
            [normalizers.Lowercase(), *([made.normalizer] if made.normalizer else [])]
        )
    made.no_truncation()
    made.no_padding()
    text = made.to_str()
    if own.is_file():
        with quiet():
            same = Tokenizer.from_file(str(own))
        same.no_truncation()
        same.no_padding()
        if json.loads(same.to_str()) == json.loads(text):
            return own
    path = disk.scratch() / "tokenizer.json"
    path.write_text(text, encoding="utf-8")
    return path


def _has_vocabulary(folder: Path) -> bool:
    return any((folder / name).is_file() for name in ("tokenizer.json", *_VOCABULARIES))


def _opened(kind: str, folder: Path) -> Any:
    import transformers

    try:
        with quiet(loggers=("transformers",)):
            return getattr(transformers, kind).from_pretrained(folder, **_OFFLINE)
    except (
        Exception
    ):  # a folder of another library's, a missing package, an unknown class: its JSON files are read as they are
        return None


def _pictures_apart(processor: Any, raw: bytes, facts: PictureFacts) -> list[str]:
    from ..tasks.shared import pictures, resize

    image = pictures.decode(raw, facts.color)
    ours = resize.to_pixels(image, facts)[0]
    kind = type(processor).__name__
    try:
        with quiet(loggers=("transformers",)):
            theirs = np.asarray(processor(pictures.to_pillow(image), return_tensors="np")["pixel_values"])[0]
    except Exception:  # a processor that takes more than a picture
        return []
    if theirs.shape != ours.shape:
        return [
            f"pictures are not prepared as transformers' {kind} does: {list(ours.shape)} here, {list(theirs.shape)} "
            "there; state resize, crop and color with --set"
        ]
    level = facts.scale / (255 * np.asarray(facts.std, np.float64))[:, None, None]
    apart = float(np.mean(np.abs(ours - theirs) / level))
    if apart < LEVELS_APART:
        return []
    return [
        f"pictures are not prepared as transformers' {kind} does: {apart:.0f} levels of 0..255 apart on average; "
        "state resize, crop, interpolation, mean, std and scale with --set"
    ]


def _tokens_apart(tokenizer: Any, raw: bytes, facts: TextFacts) -> list[str]:
    from ..tasks.shared import texts, tokens

    text = texts.decode(raw)
    with quiet(loggers=("transformers",)):
        theirs = list(tokenizer(text, truncation=True, max_length=facts.max_length)["input_ids"])
    ours = tokens.ids(text, facts)
    if ours == theirs:
        return []
    return [
        f"a text becomes {len(ours)} tokens, by transformers' {type(tokenizer).__name__} {len(theirs)} others; give "
        "the right one with --set tokenizer=FILE"
    ]
