"""Transformers of texts, sounds and pictures as Hugging Face builds them: small configurations, no downloads."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import torch
from architecture import BATCHES, LENGTHS, Architecture, any_picture, areas, picture
from torch import nn

SMALL = {
    "vocab_size": 99,
    "hidden_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "intermediate_size": 37,
    "max_position_embeddings": 64,
}
IDS = ("input_ids:int64[batch,time]", "attention_mask:int64[batch,time]")
PAIR = (*IDS, "decoder_input_ids:int64[batch,steps]")
STEPS = ({"batch": 1, "time": 7, "steps": 3}, {"batch": 3, "time": 21, "steps": 5})
SOUND = ("input_values:float32[batch,time=4000..]",)
SOUNDS = ({"batch": 1, "time": 5000}, {"batch": 3, "time": 4321})


class Plain(nn.Module):
    """A model whose answer is the tensor of its output that matters."""

    def __init__(self, model: nn.Module, *names: str) -> None:
        super().__init__()
        self.model = model
        self.names = names


def _mask(given: torch.Tensor) -> torch.Tensor:
    """What is nothing is left out, but for the first token: no text is empty."""
    return torch.cat([torch.ones_like(given[:, :1]), given[:, 1:].clamp(max=1)], 1)


class Texts(Plain):
    """Token ids and their mask."""

    def forward(self, input_ids: torch.Tensor, attention_mask: torch.Tensor) -> torch.Tensor:
        return self.model(input_ids=input_ids, attention_mask=_mask(attention_mask))[0]  # type: ignore[no-any-return]


class Pairs(Plain):
    """Token ids, their mask, and what was decoded so far."""

    def forward(
        self, input_ids: torch.Tensor, attention_mask: torch.Tensor, decoder_input_ids: torch.Tensor
    ) -> torch.Tensor:
        mask = _mask(attention_mask)
        found = self.model(input_ids=input_ids, attention_mask=mask, decoder_input_ids=decoder_input_ids)
        return found[0]  # type: ignore[no-any-return]


class One(Plain):
    """A single tensor, under the name that the model gives it."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.model(**{self.names[0]: x})[0]  # type: ignore[no-any-return]


class Speech(Plain):
    """A spectrogram, and what was decoded so far."""

    def forward(self, x: torch.Tensor, decoder_input_ids: torch.Tensor) -> torch.Tensor:
        return self.model(**{self.names[0]: x}, decoder_input_ids=decoder_input_ids)[0]  # type: ignore[no-any-return]


def of(model: str, config: str, wrap: Callable[..., nn.Module], *names: str, **options: Any) -> nn.Module:
    """A model by the names of its class and of its configuration's."""
    import transformers

    made = getattr(transformers, config)(**options)
    made.use_cache = False
    return wrap(getattr(transformers, model)(made), *names)


def _encoder(model: str, config: str, **options: Any) -> Architecture:
    return Architecture("text", partial(of, model, config, Texts, **{**SMALL, **options}), IDS, LENGTHS)


def _decoder(model: str, config: str, **options: Any) -> Architecture:
    return Architecture("text generation", partial(of, model, config, Texts, **{**SMALL, **options}), IDS, LENGTHS)


def _pair(model: str, config: str, **options: Any) -> Architecture:
    return Architecture("sequence to sequence", partial(of, model, config, Pairs, **options), PAIR, STEPS)


GROUPS = dict.fromkeys([f"{part}_groups" for part in ("q", "k", "v", "post_attention", "intermediate", "output")], 1)
BART = {
    "vocab_size": 99,
    "d_model": 32,
    "encoder_layers": 2,
    "decoder_layers": 2,
    "encoder_attention_heads": 4,
    "decoder_attention_heads": 4,
    "encoder_ffn_dim": 37,
    "decoder_ffn_dim": 37,
    "max_position_embeddings": 64,
    "pad_token_id": 1,
    "eos_token_id": 2,
    "decoder_start_token_id": 2,
}
T5 = {
    "vocab_size": 99,
    "d_model": 32,
    "d_kv": 8,
    "d_ff": 37,
    "num_layers": 2,
    "num_heads": 4,
    "decoder_start_token_id": 0,
}
WAV2VEC2 = {
    "vocab_size": 32,
    "hidden_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "intermediate_size": 37,
    "conv_dim": (32, 32, 32),
    "conv_kernel": (10, 3, 3),
    "conv_stride": (5, 2, 2),
    "num_feat_extract_layers": 3,
    "num_conv_pos_embeddings": 16,
    "num_conv_pos_embedding_groups": 2,
}
VIT = {
    "hidden_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "intermediate_size": 37,
    "image_size": 32,
    "patch_size": 8,
}


def _speech(model: str, config: str, **options: Any) -> Architecture:
    make = partial(of, model, config, One, "input_values", **{**WAV2VEC2, **options})
    return Architecture("speech", make, ("x:float32[batch,time=4000..]",), SOUNDS)


def _vision(model: str, config: str, **options: Any) -> Architecture:
    return Architecture(
        "vision transformer",
        partial(of, model, config, One, "pixel_values", **{**VIT, **options}),
        picture(32),
        BATCHES,
    )


TEXTS: Mapping[str, Architecture] = {
    "hf_albert": _encoder("AlbertForSequenceClassification", "AlbertConfig", embedding_size=16),
    "hf_bert": _encoder("BertForSequenceClassification", "BertConfig"),
    "hf_bert_tokens": _encoder("BertForTokenClassification", "BertConfig", num_labels=5),
    "hf_bert_answers": _encoder("BertForQuestionAnswering", "BertConfig"),
    "hf_convbert": _encoder("ConvBertForSequenceClassification", "ConvBertConfig", embedding_size=32),
    "hf_deberta_v2": _encoder(
        "DebertaV2ForSequenceClassification",
        "DebertaV2Config",
        relative_attention=True,
        position_biased_input=False,
        pos_att_type=["c2p", "p2c"],
    ),
    "hf_distilbert": _encoder(
        "DistilBertForSequenceClassification", "DistilBertConfig", dim=32, n_layers=2, n_heads=4, hidden_dim=37
    ),
    "hf_electra": _encoder("ElectraForSequenceClassification", "ElectraConfig", embedding_size=32),
    "hf_fnet": Architecture(
        "text",
        partial(of, "FNetForSequenceClassification", "FNetConfig", One, "input_ids", **SMALL),
        ("x:int64[batch,time]",),
        LENGTHS,
    ),
    "hf_layoutlm": _encoder("LayoutLMForSequenceClassification", "LayoutLMConfig"),
    "hf_mobilebert": _encoder("MobileBertForSequenceClassification", "MobileBertConfig", embedding_size=32),
    "hf_modernbert": _encoder(
        "ModernBertForSequenceClassification",
        "ModernBertConfig",
        pad_token_id=0,
        bos_token_id=1,
        eos_token_id=2,
        cls_token_id=1,
        sep_token_id=2,
        attn_implementation="eager",
    ),
    "hf_mpnet": _encoder("MPNetForSequenceClassification", "MPNetConfig"),
    "hf_roberta": _encoder("RobertaForSequenceClassification", "RobertaConfig", max_position_embeddings=66),
    "hf_squeezebert": _encoder(
        "SqueezeBertForSequenceClassification", "SqueezeBertConfig", embedding_size=32, **GROUPS
    ),
    "hf_xlnet": Architecture(
        "text",
        partial(
            of,
            "XLNetForSequenceClassification",
            "XLNetConfig",
            Texts,
            vocab_size=99,
            d_model=32,
            n_layer=2,
            n_head=4,
            d_inner=37,
        ),
        IDS,
        LENGTHS,
    ),
    "hf_gpt2": _decoder("GPT2LMHeadModel", "GPT2Config", n_embd=32, n_layer=2, n_head=4, n_positions=64),
    "hf_gpt_neox": _decoder("GPTNeoXForCausalLM", "GPTNeoXConfig"),
    "hf_llama": _decoder("LlamaForCausalLM", "LlamaConfig", num_key_value_heads=2),
    "hf_mamba": Architecture(
        "text generation",
        partial(of, "MambaForCausalLM", "MambaConfig", One, "input_ids", **{**SMALL, "state_size": 4}),
        ("x:int64[batch,time]",),
        LENGTHS,
    ),
    "hf_opt": _decoder(
        "OPTForCausalLM", "OPTConfig", ffn_dim=37, word_embed_proj_dim=32, pad_token_id=1, max_position_embeddings=70
    ),
    "hf_qwen3": _decoder("Qwen3ForCausalLM", "Qwen3Config", num_key_value_heads=2, head_dim=8),
    "hf_bart": _pair("BartForConditionalGeneration", "BartConfig", **BART),
    "hf_marian": _pair("MarianMTModel", "MarianConfig", **BART),
    "hf_t5": _pair("T5ForConditionalGeneration", "T5Config", **T5),
    "hf_data2vec": _speech(
        "Data2VecAudioForCTC", "Data2VecAudioConfig", conv_pos_kernel_size=9, num_conv_pos_embeddings=2
    ),
    "hf_hubert": _speech("HubertForCTC", "HubertConfig"),
    "hf_sew": _speech("SEWForCTC", "SEWConfig", squeeze_factor=2),
    "hf_unispeech": _speech("UniSpeechForCTC", "UniSpeechConfig", num_ctc_classes=32),
    "hf_wav2vec2": _speech("Wav2Vec2ForCTC", "Wav2Vec2Config"),
    "hf_wavlm": _speech("WavLMForCTC", "WavLMConfig"),
    "hf_speech_to_text": Architecture(
        "speech",
        partial(
            of,
            "Speech2TextForConditionalGeneration",
            "Speech2TextConfig",
            Speech,
            "input_features",
            **{**BART, "input_feat_per_channel": 16, "conv_channels": 32, "max_source_positions": 400},
        ),
        ("x:float32[batch,time=16..300,16]", "decoder_input_ids:int64[batch,steps]"),
        ({"batch": 1, "time": 40, "steps": 3}, {"batch": 3, "time": 65, "steps": 5}),
    ),
    "hf_whisper": Architecture(
        "speech",
        partial(
            of,
            "WhisperForConditionalGeneration",
            "WhisperConfig",
            Speech,
            "input_features",
            **{**BART, "num_mel_bins": 16, "max_source_positions": 20, "max_target_positions": 32},
        ),
        ("x:float32[batch,16,40]", "decoder_input_ids:int64[batch,steps]"),
        ({"batch": 1, "steps": 3}, {"batch": 3, "steps": 7}),
    ),
    "hf_ast": Architecture(
        "speech",
        partial(
            of,
            "ASTForAudioClassification",
            "ASTConfig",
            One,
            "input_values",
            **{**VIT, "num_mel_bins": 32, "max_length": 48},
        ),
        ("x:float32[batch,48,32]",),
        BATCHES,
    ),
    "hf_clip_vision": _vision("CLIPVisionModel", "CLIPVisionConfig"),
    "hf_deit": _vision("DeiTForImageClassification", "DeiTConfig"),
    "hf_dinov2": _vision("Dinov2ForImageClassification", "Dinov2Config"),
    "hf_segformer": Architecture(
        "segmentation",
        partial(
            of,
            "SegformerForSemanticSegmentation",
            "SegformerConfig",
            One,
            "pixel_values",
            hidden_sizes=[16, 16, 32, 32],
            depths=[1, 1, 1, 1],
            num_attention_heads=[1, 1, 2, 2],
            decoder_hidden_size=32,
        ),
        any_picture(),
        areas(),
    ),
    "hf_siglip": _vision("SiglipVisionModel", "SiglipVisionConfig"),
    "hf_vit": _vision("ViTForImageClassification", "ViTConfig"),
    "hf_yolos": _vision("YolosForObjectDetection", "YolosConfig", image_size=[32, 32], num_detection_tokens=8),
}
