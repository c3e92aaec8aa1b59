"""A Hugging Face model folder: the class that `config.json` names, its weights, its facts; nothing is downloaded."""

from __future__ import annotations

import inspect
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..errors import BadInput, CaptureError, MissingDependency, WeightsError, first_line
from ..system.noise import quiet
from . import facts
from .processors import Processors, open_processors, tokenizer_file
from .safe import weights_only
from .weights import SHOWN

if TYPE_CHECKING:
    import torch

OWN = ("eager", "sdpa")
"""Ways to compute attention that need no code from elsewhere."""


@dataclass(frozen=True)
class Folder:
    """An opened folder.

    Attributes:
        module: the model, in float32.
        facts: what its JSON files state.
        processors: transformers' own way of preparing inputs, to compare with.
        notes: what the folder states and torchport does not do, a sentence each.
    """

    module: torch.nn.Module
    facts: dict[str, Any]
    processors: Processors
    notes: tuple[str, ...]


def open_folder(folder: Path, *, with_weights: bool = True) -> Folder:
    """The model of a folder, and the facts its JSON files state.

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
        raise MissingDependency(
            f"a Hugging Face folder needs transformers: {exc}", "pip install 'torchport[huggingface]'"
        ) from exc
    config = _read(folder / "config.json")
    architecture = (config.get("architectures") or [""])[0]
    kind = getattr(transformers, architecture, None) if architecture else None
    if kind is None:
        raise CaptureError(
            f"{folder.name}: transformers {transformers.__version__} has no '{architecture}'"
            if architecture
            else f"{folder.name}/config.json names no architecture",
            "models that bring their own Python are given as file.py:Name, with --weights",
        )
    module = _load(kind, folder, with_weights)
    speaks = (_read_if(folder / "tokenizer_config.json")).get("tokenizer_class") == "VitsTokenizer"
    spells = architecture.endswith("ForCTC")
    processors = open_processors(
        folder, text=not (speaks or spells) and "input_ids" in inspect.signature(module.forward).parameters
    )
    stated = facts.from_labels(config)
    said: list[str] = []
    if architecture.endswith("Classification"):
        stated |= facts.from_head(module.config)
    if (folder / "preprocessor_config.json").is_file():
        stated |= _prepared(folder, config, processors)
        said += facts.not_heard(_read(folder / "preprocessor_config.json"), padded=not spells)
    if spells and (folder / "vocab.json").is_file():
        stated |= {"vocabulary": folder / "vocab.json", "blank": config.get("pad_token_id") or 0}
    if processors.tokenizer is not None or (folder / "tokenizer.json").is_file():
        told, more = _text_facts(folder, config, module, processors)
        stated |= told
        said += more
    if speaks and (folder / "vocab.json").is_file():
        stated |= facts.from_speaker(config, _read(folder / "tokenizer_config.json"), _read(folder / "vocab.json"))
    said += facts.not_followed(getattr(module, "generation_config", None))
    return Folder(module, stated, processors, tuple(said))


def _prepared(folder: Path, config: Mapping[str, Any], processors: Processors) -> dict[str, Any]:
    """Facts of recordings or pictures; what the file leaves out has the defaults of the image processor's class."""
    prepared = _read(folder / "preprocessor_config.json")
    if "sampling_rate" in prepared:
        return facts.from_recorder(prepared)
    own = {}
    if processors.pictures is not None:
        own = {name: value for name, value in processors.pictures.to_dict().items() if value is not None}
        own |= {
            name: bool(getattr(processors.pictures, name, None))
            for name in ("do_resize", "do_center_crop", "do_rescale", "do_normalize")
        }
    found = facts.from_preprocessor({**own, **prepared})
    return {**found, "color": "L"} if config.get("num_channels") == 1 else found


def _text_facts(
    folder: Path, config: dict[str, Any], module: torch.nn.Module, processors: Processors
) -> tuple[dict[str, Any], list[str]]:
    """What a folder says of its texts, and what of it torchport does not do; sentence-transformers writes files of its
    own.
    """
    sentences = _read_if(folder / "sentence_bert_config.json")
    told = facts.from_text(
        config,
        _read_if(folder / "tokenizer_config.json"),
        sentences,
        _read_if(folder / "1_Pooling/config.json"),
        _positions(module),
    )
    if processors.tokenizer is None:
        told["tokenizer"] = folder / "tokenizer.json"
    else:
        told["tokenizer"] = tokenizer_file(processors.tokenizer, folder, lowercase=bool(sentences.get("do_lower_case")))
        if "pad_id" not in told and processors.tokenizer.pad_token_id is not None:
            told["pad_id"] = int(processors.tokenizer.pad_token_id)
    kinds = [str(one.get("type", "")).rpartition(".")[2] for one in _read_list(folder / "modules.json")]
    strange = [kind for kind in kinds if kind not in ("Transformer", "Pooling", "Normalize", "Dropout")]
    if strange:
        raise CaptureError(
            f"modules.json puts a {strange[0]} layer behind the model, which torchport does not read",
            "give the whole as a module of your own: file.py:Name",
        )
    if kinds:
        told["normalize"] = "Normalize" in kinds
    prompts = _read_if(folder / "config_sentence_transformers.json")
    name = prompts.get("default_prompt_name")
    said = (
        [
            f"config_sentence_transformers.json puts the prompt '{name}' before every text, torchport does not: write "
            "it there yourself"
        ]
        if name
        else []
    )
    return told, said


def _positions(module: torch.nn.Module) -> int | None:
    """How many tokens a model has positions for, where they are counted from behind the padding index, as RoBERTa's
    are; else None.
    """
    import torch

    for name, part in module.named_modules():
        if (
            name.endswith("position_embeddings")
            and isinstance(part, torch.nn.Embedding)
            and part.padding_idx is not None
        ):
            return int(part.num_embeddings - part.padding_idx - 1)
    return None


def _load(kind: Any, folder: Path, with_weights: bool) -> torch.nn.Module:
    import torch

    try:
        # Whatever reads the checkpoint inside, it may rebuild tensors only.
        with weights_only(), quiet():
            config = _config(kind, folder)
            if not with_weights:
                module: torch.nn.Module = kind(config)
                return module
            safe = any(folder.glob("*.safetensors"))
            module, said = kind.from_pretrained(
                folder,
                config=config,
                local_files_only=True,
                trust_remote_code=False,
                use_safetensors=safe,
                dtype=torch.float32,
                output_loading_info=True,
            )
    except Exception as exc:  # transformers raises whatever its readers do
        raise CaptureError(
            f"transformers cannot load {folder.name}: {first_line(exc)}",
            "check that the folder is complete: config.json and model.safetensors",
        ) from exc
    missing = sorted(said["missing_keys"])
    if missing:
        raise WeightsError(
            f"the weights of {folder.name} lack {len(missing)} keys of {kind.__name__} ({', '.join(missing[:SHOWN])})",
            "name the architecture they were saved from in config.json",
        )
    if hasattr(module.config, "use_cache"):
        module.config.use_cache = False  # a cache is state between calls, not an output
    return module


def _read_if(path: Path) -> dict[str, Any]:
    return _read(path) if path.is_file() else {}


def _read_list(path: Path) -> list[dict[str, Any]]:
    if not path.is_file():
        return []
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as exc:
        raise BadInput(
            f"{path.parent.name}/{path.name} cannot be read: {first_line(exc)}", "copy or save the folder again"
        ) from exc
    return [one for one in content if isinstance(one, dict)] if isinstance(content, list) else []


def _config(kind: Any, folder: Path) -> Any:
    """The configuration, whose words choose among what PyTorch itself has: another name of an attention, or of experts,
    is a place on the Hub that transformers would fetch code from."""
    config = kind.config_class.from_pretrained(folder, local_files_only=True, trust_remote_code=False)
    parts = [config, *(getattr(config, name, None) for name in getattr(config, "sub_configs", {}))]
    for part in parts:
        for name in ("_attn_implementation_internal", "_experts_implementation_internal"):
            if getattr(part, name, None) not in (None, *OWN):
                setattr(part, name, None)
    return config


def _read(path: Path) -> dict[str, Any]:
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as exc:
        raise BadInput(
            f"{path.parent.name}/{path.name} cannot be read: {first_line(exc)}", "copy or save the folder again"
        ) from exc
    if not isinstance(content, dict):
        raise BadInput(f"{path.parent.name}/{path.name} is not a JSON object", "copy or save the folder again")
    return content
