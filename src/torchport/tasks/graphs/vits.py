"""Hugging Face's VITS as two graphs of core operators, one utterance at a time: `text` (symbols -> prior and durations)
and `speech` (latents -> waveform).

Both compute what `VitsModel` computes for a batch of one, with its own weights. What exporters cannot take is written
anew: noise is an input, the spline has no masked indexing, relative attention gathers a band instead of reshaping
skewed copies, and transposed convolutions are convolutions whose channels are interleaved (the same sums, on faster
kernels). VITS: Kim, Kong, Son, "Conditional Variational Autoencoder with Adversarial Learning for End-to-End
Text-to-Speech", 2021. Splines: Durkan et al., "Neural Spline Flows", 2019. Interleaving: Shi et al., "Is the
deconvolution layer the same as a convolutional layer?", 2016.
"""

from __future__ import annotations

import copy
import math
from typing import Any

import torch
from torch import nn
from torch.nn import functional
from torch.nn.utils import parametrize

MIN_BIN, MIN_SLOPE = 1e-3, 1e-3  # of the spline, as VitsModel has them


def prepared(model: Any) -> Any:
    """A copy of a `VitsModel` in eval mode, without weight normalisation and without transposed convolutions."""
    model = copy.deepcopy(model).eval()
    for owner in list(model.modules()):
        for name, child in list(owner.named_children()):
            if isinstance(child, nn.ConvTranspose1d):
                setattr(owner, name, Interleaved(child))
            elif isinstance(child, nn.Conv1d) and parametrize.is_parametrized(child):
                setattr(owner, name, _plain(child))
    return model


def _plain(conv: nn.Conv1d) -> nn.Conv1d:
    """A convolution with the weight that a parametrization computes. Taking the parametrization off a copy would take
    it off the original too: they share a class.
    """
    options: dict[str, Any] = {
        name: getattr(conv, name) for name in ("stride", "padding", "dilation", "groups", "padding_mode")
    }
    made = nn.Conv1d(conv.in_channels, conv.out_channels, conv.kernel_size[0], bias=conv.bias is not None, **options)
    made.weight = nn.Parameter(conv.weight.detach().clone(), requires_grad=False)
    if conv.bias is not None:
        made.bias = nn.Parameter(conv.bias.detach().clone(), requires_grad=False)
    return made.eval()


def reach(model: Any) -> int:
    """How many frames of latents on each side bear on one frame of speech: half of the receptive field, rounded up."""
    config = model.config
    layers = config.prior_encoder_num_wavenet_layers
    flow = config.prior_encoder_num_flows * sum(
        config.wavenet_kernel_size // 2 * config.wavenet_dilation_rate**i for i in range(layers)
    )
    decoder, rate, samples = model.decoder, 1.0, 0.0
    samples += decoder.conv_pre.kernel_size[0] // 2
    count = len(config.resblock_kernel_sizes)
    for i, factor in enumerate(config.upsample_rates):
        samples += config.upsample_kernel_sizes[i] / factor / rate
        rate *= factor
        blocks = decoder.resblocks[i * count : (i + 1) * count]
        samples += max(sum(_half(m) for m in block.modules() if isinstance(m, nn.Conv1d)) for block in blocks) / rate
    return int(flow + math.ceil(samples + decoder.conv_post.kernel_size[0] // 2 / rate))


def _half(conv: nn.Conv1d) -> int:
    return conv.kernel_size[0] // 2 * conv.dilation[0]


class Interleaved(nn.Module):
    """A `ConvTranspose1d` as a convolution with `stride` times the channels, whose answers are then interleaved in
    time.

    Output sample s * n + r is the sum over taps j of x[n - j] * w[r + padding + s * j], wherever that index is one of
    the kernel.
    """

    def __init__(self, transposed: nn.ConvTranspose1d) -> None:
        super().__init__()
        kernel, stride, padding = transposed.kernel_size[0], transposed.stride[0], int(transposed.padding[0])
        if (
            kernel - stride != 2 * padding
            or transposed.groups != 1
            or transposed.dilation[0] != 1
            or transposed.output_padding[0]
        ):
            raise ValueError("a transposed convolution that does not multiply the length by its stride exactly")
        source = transposed.weight.detach()
        ahead, behind = (padding + stride - 1) // stride, (kernel - 1 - padding) // stride
        weight = source.new_zeros(source.shape[1], stride, source.shape[0], behind + ahead + 1)
        for j in range(-ahead, behind + 1):
            for r in range(stride):
                tap = r + padding + stride * j
                if 0 <= tap < kernel:
                    weight[:, r, :, behind - j] = source[:, :, tap].T
        self.stride, self.pad = stride, (behind, ahead)
        self.weight = nn.Parameter(weight.reshape(-1, source.shape[0], weight.shape[-1]), requires_grad=False)
        bias = source.new_zeros(source.shape[1]) if transposed.bias is None else transposed.bias.detach()
        self.bias = nn.Parameter(bias.repeat_interleave(stride), requires_grad=False)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """float [batch, channels, length] -> [batch, out channels, length * stride]."""
        behind, ahead = self.pad
        made = (
            functional.conv1d(x, self.weight, self.bias, padding=behind)
            if behind == ahead
            else functional.conv1d(functional.pad(x, self.pad), self.weight, self.bias)
        )
        parts = made.reshape(made.shape[0], -1, self.stride, made.shape[2])
        return parts.transpose(2, 3).flatten(2)


class Text(nn.Module):
    """Symbols -> the prior of each symbol and the logarithm of its duration.

    forward: `ids` int64 [1, symbols], `noise` float [1, 2, symbols] where durations are drawn, `speaker` int64 [1]
    where there are several
    -> `means` and `log_scales` float [1, symbols, latents], `log_durations` float [1, symbols].
    """

    def __init__(self, model: Any) -> None:
        super().__init__()
        config = model.config
        self.embed, self.project, self.scale = (
            model.text_encoder.embed_tokens,
            model.text_encoder.project,
            math.sqrt(config.hidden_size),
        )
        self.layers = nn.ModuleList(Layer(layer) for layer in model.text_encoder.encoder.layers)
        self.durations = (
            Drawn(model.duration_predictor, config)
            if config.use_stochastic_duration_prediction
            else Predicted(model.duration_predictor)
        )
        self.speakers = model.embed_speaker if config.num_speakers > 1 else None

    def forward(
        self, ids: torch.Tensor, noise: torch.Tensor | None = None, speaker: torch.Tensor | None = None
    ) -> dict[str, torch.Tensor]:
        """See the class."""
        hidden = self.embed(ids) * self.scale
        for layer in self.layers:
            hidden = layer(hidden)
        hidden = hidden.transpose(1, 2)
        means, log_scales = self.project(hidden).transpose(1, 2).chunk(2, dim=2)
        voice = self.speakers(speaker).unsqueeze(-1) if self.speakers is not None else None
        return {
            "means": means,
            "log_scales": log_scales,
            "log_durations": self.durations(hidden, noise, voice).squeeze(1),
        }


class Speech(nn.Module):
    """Latents -> waveform: the flow, backwards, then HiFi-GAN.

    forward: `latents` float [1, latents, frames], `speaker` as in `Text` -> `waveform` float [1, frames * hop] in
    -1..1.
    """

    def __init__(self, model: Any) -> None:
        super().__init__()
        self.flows, self.decoder = model.flow.flows, model.decoder
        self.speakers = model.embed_speaker if model.config.num_speakers > 1 else None

    def forward(self, latents: torch.Tensor, speaker: torch.Tensor | None = None) -> dict[str, torch.Tensor]:
        """See the class."""
        voice = self.speakers(speaker).unsqueeze(-1) if self.speakers is not None else None
        for flow in reversed(list(self.flows)):
            first, second = latents.flip(1).chunk(2, dim=1)
            mean = flow.conv_post(_wavenet(flow.wavenet, flow.conv_pre(first), voice))
            latents = torch.cat([first, second - mean], dim=1)
        return {"waveform": self.decoder(latents, voice).squeeze(1)}


def _wavenet(net: Any, x: torch.Tensor, voice: torch.Tensor | None) -> torch.Tensor:
    size, total = net.hidden_size, torch.zeros_like(x)
    told = net.cond_layer(voice) if voice is not None else None
    for i, (conv, mix) in enumerate(zip(net.in_layers, net.res_skip_layers, strict=True)):
        gates = conv(x)
        if told is not None:
            gates = gates + told[:, 2 * size * i : 2 * size * (i + 1)]
        made = mix(torch.tanh(gates[:, :size]) * torch.sigmoid(gates[:, size:]))
        if i < net.num_layers - 1:
            x, made = x + made[:, :size], made[:, size:]
        total = total + made
    return total


class Layer(nn.Module):
    """One layer of the text encoder, float [1, symbols, hidden] -> the same: relative attention, then a convolutional
    feed-forward.
    """

    def __init__(self, layer: Any) -> None:
        super().__init__()
        self.attention, self.feed, self.first, self.second = (
            layer.attention,
            layer.feed_forward,
            layer.layer_norm,
            layer.final_layer_norm,
        )

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """See the class."""
        x = self.first(x + _attend(self.attention, x))
        pad = self.feed.padding[:2] if self.feed.padding is not None else [0, 0]
        hidden = self.feed.act_fn(self.feed.conv_1(functional.pad(x.transpose(1, 2), pad)))
        answer: torch.Tensor = self.second(x + self.feed.conv_2(functional.pad(hidden, pad)).transpose(1, 2))
        return answer


def _attend(net: Any, x: torch.Tensor) -> torch.Tensor:
    """Self-attention in which positions up to `window` apart have keys and values of their own (Shaw et al., 2018)."""
    heads, length = net.num_heads, x.shape[1]
    query, key, value = (
        f(x)[0].reshape(length, heads, -1).transpose(0, 1) for f in (net.q_proj, net.k_proj, net.v_proj)
    )
    query = query * net.scaling
    scores = query @ key.transpose(1, 2)
    if not net.window_size:
        return _joined(net, scores.softmax(-1) @ value)
    window = net.window_size
    places = torch.arange(length)
    offset = places.unsqueeze(0) - places.unsqueeze(1)  # of the key from the query
    near = (offset.abs() <= window).to(x.dtype)
    index = (offset.clamp(-window, window) + window).unsqueeze(0).expand(heads, -1, -1)
    scores = scores + (query @ net.emb_rel_k.transpose(1, 2)).gather(2, index) * near
    weights = scores.softmax(-1)
    band = functional.pad(weights, (window, window)).gather(
        2, (places.unsqueeze(1) + torch.arange(2 * window + 1)).unsqueeze(0).expand(heads, -1, -1)
    )
    return _joined(net, weights @ value + band @ net.emb_rel_v)


def _joined(net: Any, mixed: torch.Tensor) -> torch.Tensor:
    answer: torch.Tensor = net.out_proj(mixed.transpose(0, 1).flatten(1).unsqueeze(0))
    return answer


class Predicted(nn.Module):
    """The plain predictor of durations: hidden [1, hidden, symbols] -> logarithms [1, 1, symbols]."""

    def __init__(self, predictor: Any) -> None:
        super().__init__()
        self.net: Any = predictor

    def forward(self, hidden: torch.Tensor, noise: torch.Tensor | None, voice: torch.Tensor | None) -> torch.Tensor:
        """See the class; there is no noise."""
        net = self.net
        hidden = hidden if voice is None else hidden + net.cond(voice)
        for conv, norm in ((net.conv_1, net.norm_1), (net.conv_2, net.norm_2)):
            hidden = norm(torch.relu(conv(hidden)).transpose(1, 2)).transpose(1, 2)
        made: torch.Tensor = net.proj(hidden)
        return made


class Drawn(nn.Module):
    """The stochastic predictor of durations, backwards: hidden [1, hidden, symbols] and noise [1, 2, symbols] ->
    logarithms [1, 1, symbols].

    Its second flow is left out, as `VitsModel` and the authors' code do.
    """

    def __init__(self, predictor: Any, config: Any) -> None:
        super().__init__()
        self.net: Any = predictor
        self.affine: Any = predictor.flows[0]
        self.flows: Any = nn.ModuleList(reversed(list(predictor.flows)[2:]))
        self.bins, self.bound, self.root = (
            config.duration_predictor_flow_bins,
            float(config.duration_predictor_tail_bound),
            math.sqrt(config.hidden_size),
        )

    def forward(self, hidden: torch.Tensor, noise: torch.Tensor | None, voice: torch.Tensor | None) -> torch.Tensor:
        """See the class."""
        assert noise is not None, "durations are drawn from noise"
        net = self.net
        told = net.conv_pre(hidden)
        if voice is not None:
            told = told + net.cond(voice)
        told = net.conv_proj(_separable(net.conv_dds, told))
        for flow in self.flows:
            first, second = noise.flip(1).chunk(2, dim=1)
            shape = flow.conv_proj(_separable(flow.conv_dds, flow.conv_pre(first) + told)).transpose(1, 2).unsqueeze(1)
            second = spline(
                second,
                shape[..., : self.bins] / self.root,
                shape[..., self.bins : 2 * self.bins] / self.root,
                shape[..., 2 * self.bins :],
                self.bound,
            )
            noise = torch.cat([first, second], dim=1)
        noise = (noise.flip(1) - self.affine.translate) * torch.exp(-self.affine.log_scale)
        return noise[:, :1]


def _separable(net: Any, x: torch.Tensor) -> torch.Tensor:
    for depth, point, first, second in zip(
        net.convs_dilated, net.convs_pointwise, net.norms_1, net.norms_2, strict=True
    ):
        hidden = functional.gelu(first(depth(x).transpose(1, 2)))
        x = x + functional.gelu(second(point(hidden.transpose(1, 2)).transpose(1, 2))).transpose(1, 2)
    return x


def spline(
    y: torch.Tensor, widths: torch.Tensor, heights: torch.Tensor, slopes: torch.Tensor, bound: float
) -> torch.Tensor:
    """The inverse of a monotonic rational-quadratic spline on -bound..bound, which is the identity beyond.

    Args:
        y: float [...].
        widths, heights: float [..., bins] before their softmax.
        slopes: float [..., bins - 1] at the inner knots, before their softplus; those at the two ends are 1.
    """
    x_knots, y_knots = _knots(widths, bound), _knots(heights, bound)
    wide, high = x_knots[..., 1:] - x_knots[..., :-1], y_knots[..., 1:] - y_knots[..., :-1]
    inner = MIN_SLOPE + functional.softplus(slopes)
    end = torch.ones_like(inner[..., :1])
    slopes = torch.cat([end, inner, end], dim=-1)
    inside = y.clamp(-bound, bound)
    place = (inside.unsqueeze(-1) >= y_knots[..., 1:-1]).to(torch.int64).sum(-1, keepdim=True)

    def here(values: torch.Tensor) -> torch.Tensor:
        return values.gather(-1, place).squeeze(-1)

    width, height, x0, y0 = here(wide), here(high), here(x_knots), here(y_knots)
    delta, left, right = height / width, here(slopes), here(slopes[..., 1:])
    rise, bend = inside - y0, left + right - 2 * delta
    a, b, c = height * (delta - left) + rise * bend, height * left - rise * bend, -delta * rise
    root = 2 * c / (-b - torch.sqrt((b * b - 4 * a * c).clamp(min=0)))
    return torch.where((y >= -bound) & (y <= bound), root * width + x0, y)


def _knots(raw: torch.Tensor, bound: float) -> torch.Tensor:
    """The bins + 1 knots in -bound..bound whose distances are the softmax of `raw`, no bin narrower than MIN_BIN of the
    whole.
    """
    bins = raw.shape[-1]
    shares = MIN_BIN + (1 - MIN_BIN * bins) * raw.softmax(-1)
    inner = 2 * bound * shares.cumsum(-1)[..., :-1] - bound
    end = torch.full_like(inner[..., :1], bound)
    return torch.cat([-end, inner, end], dim=-1)
