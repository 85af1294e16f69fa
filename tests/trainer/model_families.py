"""Tiny random models of many families, each with the byte tokenizer of the tiny model."""

from __future__ import annotations

from pathlib import Path
from typing import Any

_SIZE = {
    "vocab_size": 288,
    "hidden_size": 32,
    "intermediate_size": 64,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "max_position_embeddings": 256,
    "initializer_range": 0.2,
}

_DEEPSEEK = {
    "q_lora_rank": 16,
    "kv_lora_rank": 8,
    "qk_rope_head_dim": 4,
    "qk_nope_head_dim": 4,
    "v_head_dim": 8,
    "num_key_value_heads": 4,
    "n_routed_experts": 4,
    "num_experts_per_tok": 2,
    "n_group": 1,
    "topk_group": 1,
    "moe_intermediate_size": 16,
    "first_k_dense_replace": 1,
}

# name of the row: (configuration class, what it changes)
FAMILIES: dict[str, tuple[str, dict[str, Any]]] = {
    "Llama": ("LlamaConfig", {}),
    "Llama, tied": ("LlamaConfig", {"tie_word_embeddings": True}),
    "Llama, biases": ("LlamaConfig", {"attention_bias": True, "mlp_bias": True}),
    "Qwen 2, 2.5": ("Qwen2Config", {}),
    "Qwen 2, 2.5, window": (
        "Qwen2Config",
        {"use_sliding_window": True, "sliding_window": 8, "max_window_layers": 1},
    ),
    "Qwen 3": ("Qwen3Config", {"head_dim": 8}),
    "Qwen 3 MoE": (
        "Qwen3MoeConfig",
        {"head_dim": 8, "num_experts": 4, "num_experts_per_tok": 2, "moe_intermediate_size": 16},
    ),
    "Mistral": ("MistralConfig", {"sliding_window": None}),
    "Mistral, window": ("MistralConfig", {"sliding_window": 8}),
    "Mixtral": ("MixtralConfig", {"num_local_experts": 4}),
    "Phi 3": ("Phi3Config", {"sliding_window": None}),
    "Phi 3, window": ("Phi3Config", {"sliding_window": 8}),
    "Phi 4 mini": (
        "Phi3Config",
        {"sliding_window": None, "partial_rotary_factor": 0.5, "tie_word_embeddings": True},
    ),
    "StarCoder 2": ("Starcoder2Config", {"sliding_window": 8}),
    "Gemma": ("GemmaConfig", {"head_dim": 8}),
    "Gemma 2": (
        "Gemma2Config",
        {
            "head_dim": 8,
            "sliding_window": 8,
            "final_logit_softcapping": 2.0,
            "attn_logit_softcapping": 2.0,
        },
    ),
    "Gemma 3": ("Gemma3TextConfig", {"head_dim": 8, "sliding_window": 8, "num_hidden_layers": 6}),
    "Gemma 3, with images": (
        "Gemma3Config",
        {
            "text_config": {**_SIZE, "head_dim": 8, "sliding_window": 8, "num_hidden_layers": 6},
            "vision_config": {
                "hidden_size": 16,
                "intermediate_size": 16,
                "num_hidden_layers": 1,
                "num_attention_heads": 2,
                "image_size": 28,
                "patch_size": 14,
            },
            "mm_tokens_per_image": 4,
        },
    ),
    "Granite": ("GraniteConfig", {"logits_scaling": 8.0, "residual_multiplier": 0.5}),
    "Cohere": ("CohereConfig", {"logit_scale": 0.0625}),
    "Cohere 2": (
        "Cohere2Config",
        {"logit_scale": 0.25, "sliding_window": 8, "num_hidden_layers": 4},
    ),
    "OLMo 2": ("Olmo2Config", {}),
    "OLMo 3": ("Olmo3Config", {"sliding_window": 8, "num_hidden_layers": 4}),
    "SmolLM 3": ("SmolLM3Config", {"no_rope_layer_interval": 2}),
    "GLM 4": ("Glm4Config", {"head_dim": 8}),
    "gpt-oss": (
        "GptOssConfig",
        {"head_dim": 8, "sliding_window": 8, "num_local_experts": 4, "num_experts_per_tok": 2},
    ),
    "DeepSeek V2": ("DeepseekV2Config", _DEEPSEEK),
    "DeepSeek V3": ("DeepseekV3Config", _DEEPSEEK),
    "Llama 4": (
        "Llama4TextConfig",
        {
            "head_dim": 8,
            "num_local_experts": 2,
            "num_experts_per_tok": 1,
            "intermediate_size_mlp": 64,
            "attention_chunk_size": 16,
            "interleave_moe_layer_step": 1,
        },
    ),
    "Qwen 3.5": (
        "Qwen3_5TextConfig",
        {
            "head_dim": 8,
            "linear_num_value_heads": 4,
            "linear_num_key_heads": 2,
            "linear_key_head_dim": 8,
            "linear_value_head_dim": 8,
            "layer_types": ["linear_attention", "full_attention"],
        },
    ),
    "Granite 4": (
        "GraniteMoeHybridConfig",
        {
            "mamba_n_heads": 4,
            "mamba_d_head": 16,
            "mamba_d_state": 8,
            "layer_types": ["mamba", "attention"],
            "num_local_experts": 4,
            "num_experts_per_tok": 2,
            "shared_intermediate_size": 16,
        },
    ),
    "Falcon-H1": (
        "FalconH1Config",
        {"mamba_d_ssm": 32, "mamba_n_heads": 4, "mamba_d_head": 8, "mamba_d_state": 8},
    ),
    "Mamba 2": (
        "Mamba2Config",
        {"num_heads": 8, "head_dim": 8, "state_size": 8, "n_groups": 1},
    ),
    "Recurrent Gemma": (
        "RecurrentGemmaConfig",
        {"num_hidden_layers": 3, "attention_window_size": 8, "head_dim": 8, "lru_width": 32},
    ),
    "LFM 2": ("Lfm2Config", {"full_attn_idxs": [1], "block_multiple_of": 8}),
    "GPT-2": (
        "GPT2Config",
        {"n_embd": 32, "n_layer": 2, "n_head": 4, "n_positions": 256},
    ),
}


def make_family(name: str, folder: Path, *, seed: int = 1) -> Path:
    """Write a tiny random model of a family, with tokenizer and chat template."""
    import torch
    import transformers

    from burnish.serving.embedded.tiny import _make_tokenizer

    class_name, changes = FAMILIES[name]
    tokenizer = _make_tokenizer()
    ends = {"eos_token_id": tokenizer.eos_token_id, "pad_token_id": tokenizer.pad_token_id}
    config = getattr(transformers, class_name)(**{**_SIZE, "bos_token_id": None, **ends, **changes})
    torch.manual_seed(seed)
    model = transformers.AutoModelForCausalLM.from_config(config).float()
    with torch.no_grad():
        for parameter in model.parameters():  # experts and other parameters that start at zero
            if not parameter.any():
                parameter.normal_(0, 0.2)
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder
