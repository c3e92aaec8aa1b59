"""A Hugging Face model folder: the class that `config.json` names, its weights, its facts; nothing is downloaded."""

from __future__ import annotations

import json
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..errors import BadInput, CaptureError, MissingDependency, WeightsError
from . import facts
from .blame import first_line
from .safe import weights_only
from .weights import SHOWN

if TYPE_CHECKING:
    import torch


def open_folder(folder: Path, *, with_weights: bool = True) -> tuple[torch.nn.Module, dict[str, Any]]:
    """The model of a folder in float32, and the facts its JSON files state.

    Args:
        with_weights: False builds the model from its configuration only, for weights from elsewhere.

    Raises:
        BadInput: a JSON file is damaged.
        CaptureError: the folder needs Python of its own, or transformers cannot build it.
        WeightsError: the weights leave parameters without a value.
        MissingDependency: transformers is not installed.
    """
    try:
        import transformers
    except ImportError as exc:
        raise MissingDependency(f"a Hugging Face folder needs transformers: {exc}", "pip install 'torchport[huggingface]'") from exc
    config = _read(folder / "config.json")
    architecture = (config.get("architectures") or [""])[0]
    kind = getattr(transformers, architecture, None) if architecture else None
    if kind is None:
        raise CaptureError(
            f"{folder.name}: transformers {transformers.__version__} has no '{architecture}'" if architecture else f"{folder.name}/config.json names no architecture",
            "models that bring their own Python are given as file.py:Name, with --weights",
        )
    stated = facts.from_labels(config)
    if (folder / "preprocessor_config.json").is_file():
        prepared = _read(folder / "preprocessor_config.json")
        stated |= facts.from_recorder(prepared) if "sampling_rate" in prepared else facts.from_preprocessor(prepared)
    if architecture.endswith("ForCTC") and (folder / "vocab.json").is_file():
        stated |= {"vocabulary": folder / "vocab.json", "blank": config.get("pad_token_id") or 0}
    if (folder / "tokenizer.json").is_file():
        stated |= {"tokenizer": folder / "tokenizer.json", **_text_facts(folder, config)}
    tokenizer = _read(folder / "tokenizer_config.json") if (folder / "tokenizer_config.json").is_file() else {}
    if tokenizer.get("tokenizer_class") == "VitsTokenizer" and (folder / "vocab.json").is_file():
        stated |= facts.from_speaker(config, tokenizer, _read(folder / "vocab.json"))
    return _load(kind, folder, with_weights), stated


def _text_facts(folder: Path, config: dict[str, Any]) -> dict[str, Any]:
    """What the JSON files beside a tokenizer say of lengths and of pooling; sentence-transformers writes files of its own."""
    beside = ("tokenizer_config.json", "sentence_bert_config.json", "1_Pooling/config.json")
    read = [_read(folder / name) if (folder / name).is_file() else {} for name in beside]
    return facts.from_text(config, *read)


def _load(kind: Any, folder: Path, with_weights: bool) -> torch.nn.Module:
    import torch

    try:
        # Whatever reads the checkpoint inside, it may rebuild tensors only.
        with weights_only(), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            if not with_weights:
                module: torch.nn.Module = kind(kind.config_class.from_pretrained(folder, local_files_only=True, trust_remote_code=False))
                return module
            safe = any(folder.glob("*.safetensors"))
            module, said = kind.from_pretrained(folder, local_files_only=True, trust_remote_code=False, use_safetensors=safe, dtype=torch.float32, output_loading_info=True)
    except Exception as exc:  # transformers raises whatever its readers do
        raise CaptureError(f"transformers cannot load {folder.name}: {first_line(exc)}", "check that the folder is complete: config.json and model.safetensors") from exc
    missing = sorted(said["missing_keys"])
    if missing:
        raise WeightsError(f"the weights of {folder.name} lack {len(missing)} keys of {kind.__name__} ({', '.join(missing[:SHOWN])})", "name the architecture they were saved from in config.json")
    if hasattr(module.config, "use_cache"):
        module.config.use_cache = False  # a cache is state between calls, not an output
    return module


def _read(path: Path) -> dict[str, Any]:
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as exc:
        raise BadInput(f"{path.parent.name}/{path.name} cannot be read: {first_line(exc)}", "copy or save the folder again") from exc
    if not isinstance(content, dict):
        raise BadInput(f"{path.parent.name}/{path.name} is no JSON object", "copy or save the folder again")
    return content
