"""Models that speak token by token, taken apart into graphs: an encoder, and a step that carries its state (needs
torch).
"""

from __future__ import annotations

import inspect
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch

from ...errors import BadInput, MissingDependency
from ..parts import TaskGraph

NEXT = "_next"
"""What a state is called among a graph's outputs: the input's name and this."""

Tensors = dict[str, torch.Tensor]

TOLD = ("end", "forced", "length_penalty", "start", "suppress")
BEAMS = "beams"


class Encoder(torch.nn.Module):
    """`ids` int64 and `mask` bool [batch, source] -> what the step reads, by its names, and the first state."""

    def __init__(self, parts: Any) -> None:
        super().__init__()
        self.parts = parts

    def forward(self, ids: torch.Tensor, mask: torch.Tensor) -> Tensors:
        """See the class."""
        read: Tensors = self.parts.encode(ids, mask)
        return read


class Step(torch.nn.Module):
    """One token, or some -> `logits` float32 [batch, vocabulary] of what follows, and the next state, each as
    NAME_next.

    Args:
        names: what forward takes, in order, by the names of `step`'s arguments; tokens come first.
    """

    def __init__(self, parts: Any, names: Sequence[str]) -> None:
        super().__init__()
        self.parts, self.names = parts, tuple(names)

    def forward(self, *tensors: torch.Tensor) -> Tensors:
        """See the class."""
        logits, state = self.parts.step(tensors[0], **dict(zip(self.names[1:], tensors[1:], strict=True)))
        return {"logits": logits, **{name + NEXT: value for name, value in state.items()}}


class HuggingFaceSeq2Seq(torch.nn.Module):
    """An encoder-decoder of transformers: the keys and values of cross-attention are computed once, by the encoder's
    graph.

    State and memory are float32 [batch, heads, length, width]. A self-attention cache begins with one slot that nobody
    reads, for a tensor without elements is more than some runtimes take.
    """

    def __init__(self, model: Any) -> None:
        super().__init__()
        self.model = model

    def encode(self, ids: torch.Tensor, mask: torch.Tensor) -> Tensors:
        """See `Encoder`; the decoder runs one token for the sake of what it makes of the encoder's answer, the rest is
        dropped.
        """
        from transformers.cache_utils import EncoderDecoderCache

        whole = mask.long()
        hidden = self.model.get_encoder()(input_ids=ids, attention_mask=whole).last_hidden_state
        cache = EncoderDecoderCache(_new_cache(), _new_cache())
        self.model.get_decoder()(
            input_ids=ids[:, :1],
            encoder_hidden_states=hidden,
            encoder_attention_mask=whole,
            past_key_values=cache,
            use_cache=True,
        )
        own = {name: torch.zeros_like(value) for name, value in _flat("self", cache.self_attention_cache).items()}
        return {**_flat("cross", cache.cross_attention_cache), **own}

    def step(self, token: torch.Tensor, mask: torch.Tensor, **read: torch.Tensor) -> tuple[torch.Tensor, Tensors]:
        """See `Step`."""
        from transformers.cache_utils import EncoderDecoderCache
        from transformers.modeling_outputs import BaseModelOutput

        cache = EncoderDecoderCache(_cache("self", read, skip=1), _cache("cross", read))
        for layer in range(len(cache.cross_attention_cache.layers)):
            cache.is_updated[layer] = True
        # Only the shape of the encoder's answer is looked at, for the keys and values made of it are in the cache.
        hidden = torch.zeros(1, 1, 1).expand(*mask.shape, self.model.config.hidden_size)
        answer = self.model(
            encoder_outputs=BaseModelOutput(last_hidden_state=hidden),
            attention_mask=mask.long(),
            decoder_input_ids=token,
            past_key_values=cache,
            use_cache=True,
        )
        return answer.logits[:, -1], _grown("self", read, cache.self_attention_cache)


class HuggingFaceCausal(torch.nn.Module):
    """A causal model of transformers: `ids` int64 [batch, length] after what the cache holds -> the last token's
    logits.

    The cache is as that of `HuggingFaceSeq2Seq`, and begins with the same slot.
    """

    def __init__(self, model: Any) -> None:
        super().__init__()
        self.model = model

    def first(self, batch: int) -> Tensors:
        """The state before the first token."""
        cache = _new_cache()
        self.model(input_ids=torch.zeros(batch, 1, dtype=torch.long), past_key_values=cache, use_cache=True)
        return {name: torch.zeros_like(value) for name, value in _flat("self", cache).items()}

    def step(self, ids: torch.Tensor, **read: torch.Tensor) -> tuple[torch.Tensor, Tensors]:
        """See `Step`, of any number of tokens."""
        cache = _cache("self", read, skip=1)
        answer = self.model(input_ids=ids, past_key_values=cache, use_cache=True, logits_to_keep=1)
        return answer.logits[:, -1], _grown("self", read, cache)


def _flat(kind: str, cache: Any) -> Tensors:
    return {
        f"{kind}_{part}_{number}": value
        for number, layer in enumerate(cache.layers)
        for part, value in (("key", layer.keys), ("value", layer.values))
    }


def _new_cache() -> Any:
    """An empty cache of transformers that takes what comes first as it is: theirs joins it to a tensor of one axis,
    which OpenVINO cannot.
    """
    from transformers.cache_utils import DynamicCache, DynamicLayer

    class Layer(DynamicLayer):  # type: ignore[misc]
        def update(
            self, key_states: torch.Tensor, value_states: torch.Tensor, *args: Any, **kwargs: Any
        ) -> tuple[torch.Tensor, torch.Tensor]:
            if self.is_initialized:
                return super().update(key_states, value_states, *args, **kwargs)  # type: ignore[no-any-return]
            self.lazy_initialization(key_states, value_states)
            self.keys, self.values = key_states, value_states
            return key_states, value_states

    cache = DynamicCache()
    cache.layer_class_to_replicate = Layer
    return cache


def _cache(kind: str, read: Mapping[str, torch.Tensor], skip: int = 0) -> Any:
    """A cache of transformers that holds these keys and values, without their first slots."""
    cache = _new_cache()
    for number in range(sum(name.startswith(f"{kind}_key_") for name in read)):
        cache.update(read[f"{kind}_key_{number}"][:, :, skip:], read[f"{kind}_value_{number}"][:, :, skip:], number)
    return cache


def _grown(kind: str, read: Mapping[str, torch.Tensor], cache: Any) -> Tensors:
    """The cache as state, behind the slot that it began with."""
    return {name: torch.cat([read[name][:, :, :1], value], dim=2) for name, value in _flat(kind, cache).items()}


def parts_of(model: torch.nn.Module, wanted: Sequence[str], kind: str) -> Any:
    """The module itself where it has the methods, else a module of transformers behind the same methods.

    Raises:
        BadInput: it is neither.
    """
    if all(callable(getattr(model, name, None)) for name in wanted):
        return model
    if "transformers" in type(model).__module__ and hasattr(model, "config"):
        try:
            import transformers  # noqa: F401
        except ImportError as exc:
            raise MissingDependency(
                f"the model needs transformers: {exc}", "pip install 'torchport[huggingface]'"
            ) from exc
        whole = bool(getattr(model.config, "is_encoder_decoder", False))
        if whole == ("encode" in wanted):
            return (HuggingFaceSeq2Seq if whole else HuggingFaceCausal)(model).eval()
    raise BadInput(
        f"{type(model).__name__} is not a {kind}",
        f"give a model of transformers, or a module with the methods {' and '.join(wanted)}",
    )


def told_by(model: Any) -> dict[str, Any]:
    """Facts that a model states itself: its own `facts`, or its Hugging Face generation config."""
    own = getattr(model, "facts", None)
    if isinstance(own, Mapping):
        return {name: own[name] for name in (*TOLD, BEAMS) if name in own}
    stated = getattr(model, "generation_config", None)
    if stated is None:
        return {}
    told = {
        "start": _tokens(getattr(stated, "decoder_start_token_id", None)),
        "end": _tokens(stated.eos_token_id),
        "forced": _tokens(getattr(stated, "forced_bos_token_id", None)),
        "suppress": [
            *_tokens(getattr(stated, "suppress_tokens", None)),
            *(words[0] for words in getattr(stated, "bad_words_ids", None) or () if len(words) == 1),
        ],
        "length_penalty": getattr(stated, "length_penalty", None),
        BEAMS: getattr(stated, "num_beams", None),
    }
    return {name: value for name, value in told.items() if value not in (None, [])}


def _tokens(value: int | list[int] | None) -> list[int]:
    return [] if value is None else [value] if isinstance(value, int) else list(value)


def seq2seq(
    model: torch.nn.Module, ids: np.ndarray, start: int, bounds: Mapping[str, tuple[int, int | None]]
) -> tuple[dict[str, TaskGraph], dict[str, Any]]:
    """The graphs `encoder` and `step` of a model that translates, and how they are wired.

    Args:
        ids: int64 [2, source], real texts, without padding.
        bounds: of the dimensions `batch`, `source` and `past`.

    Returns:
        The graphs; and {"reads": the step's inputs beside `token`, "state": output -> input}.
    """
    parts = parts_of(model, ("encode", "step"), "translator")
    with torch.no_grad():
        source, shorter = torch.from_numpy(ids), torch.from_numpy(ids[:, :-1].copy())
        read, less = (parts.encode(one, torch.ones_like(one, dtype=torch.bool)) for one in (source, shorter))
        dims = {name: _axes(value, less[name], "source") for name, value in read.items()}
        names = [name for name in inspect.signature(parts.step).parameters if name in ("position", "mask")] + list(read)
        feed = {"position": torch.zeros(1, dtype=torch.long), "mask": torch.ones_like(source, dtype=torch.bool), **read}
        token = torch.full((len(ids), 1), start)
        step = Step(parts, ["token", *names]).eval()
        # Two tokens on: a size of 0 or 1 would be taken for a constant, and a first token may be a case of its own.
        for _ in range(2):
            answer = step(token, *(feed[name] for name in names))
            state = {name.removesuffix(NEXT): value for name, value in answer.items() if name != "logits"}
            dims |= {name: _axes(value, feed[name], "past") for name, value in state.items()}
            feed = {**feed, **state, "position": feed["position"] + 1}
    dims = {"token": {0: "batch"}, "mask": {0: "batch", 1: "source"}, "position": {}, **dims}
    graphs = {
        "encoder": TaskGraph(
            Encoder(parts).eval(),
            {"ids": ids, "mask": np.ones(ids.shape, bool)},
            {name: {0: "batch", 1: "source"} for name in ("ids", "mask")},
            _known(bounds, "batch", "source"),
        ),
        "step": TaskGraph(
            step,
            {"token": token.numpy(), **{name: feed[name].numpy() for name in names}},
            {name: dims[name] for name in ("token", *names)},
            dict(bounds),
        ),
    }
    return graphs, {"reads": names, "state": {name + NEXT: name for name in state}}


def causal(
    model: torch.nn.Module, ids: np.ndarray, bounds: Mapping[str, tuple[int, int | None]]
) -> tuple[dict[str, TaskGraph], dict[str, Any]]:
    """The graph `step` of a model that continues text, and how it is wired.

    Args:
        ids: int64 [1, length], a real text of four tokens or more.
        bounds: of the dimensions `length` and `past`.

    Returns:
        The graph; and {"first": name -> shape of the first state, which is all zeros, "state": output -> input}.
    """
    parts = parts_of(model, ("first", "step"), "text generator")
    half = ids.shape[1] // 2
    with torch.no_grad():
        first = parts.first(len(ids))
        step = Step(parts, ["ids", *first]).eval()
        answer = step(torch.from_numpy(ids[:, :half].copy()), *first.values())
        state = {name: answer[name + NEXT] for name in first}
    dims = {
        "ids": {1: "length"},
        **{
            name: {axis: dim for axis, dim in _axes(value, first[name], "past").items() if axis}
            for name, value in state.items()
        },
    }
    examples = {"ids": ids[:, half:].copy(), **{name: value.numpy() for name, value in state.items()}}
    wiring = {
        "first": {name: list(value.shape) for name, value in first.items()},
        "state": {name + NEXT: name for name in first},
    }
    return {"step": TaskGraph(step, examples, dims, dict(bounds))}, wiring


def _axes(one: torch.Tensor, other: torch.Tensor, name: str) -> dict[int, str]:
    """The axes that differ between two tensors are `name`; the first is the batch."""
    return {
        0: "batch",
        **{axis: name for axis, (a, b) in enumerate(zip(one.shape, other.shape, strict=True)) if a != b and axis},
    }


def _known(bounds: Mapping[str, tuple[int, int | None]], *names: str) -> dict[str, tuple[int, int | None]]:
    return {name: bounds[name] for name in names if name in bounds}
