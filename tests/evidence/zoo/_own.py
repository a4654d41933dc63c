"""What single types want: values of their configurations, where the general rules do not hang together."""

from __future__ import annotations

from typing import Any

_STAGES = ["stage1", "stage2", "stage3", "stage4"]
# A backbone, where the default one is another package's.
_RESNET = {"model_type": "resnet", "out_features": ["stage4"]}
# For each block its kernel, channels in and out, stride, and whether it squeezes.
_LCNET = {
    "stem_channels": [3, 4, 8],
    "block_configs": [[[3, 8, 8, 1, True]], [[3, 8, 16, 2, False]], [[3, 16, 32, 2, False]], [[3, 32, 64, 2, True]]],
}
# Heights and widths of three levels of features.
_PYRAMID = [[16, 16], [8, 8], [4, 4]]
# The default multiplies channels and layers; the last channels follow from the width.
_EFFICIENTNET = {
    "image_size": 32,
    "width_coefficient": 0.25,
    "depth_coefficient": 1.0,
    "hidden_dim": 320,
    "num_block_repeats": [1] * 7,
    "in_channels": [32, 16, 24, 40, 80, 112, 192],
    "out_channels": [16, 24, 40, 80, 112, 192, 320],
}
# Kernel, stride and padding of each convolution of a block.
_INTRACLASS: dict[str, list[Any]] = {"reduce_channel": [1, 1, 0], "return_channel": [1, 1, 0]}
for _name, _size in (("long", 7), ("mid", 5), ("short", 3)):
    _INTRACLASS[f"vertical_long_to_small_conv_{_name}ratio"] = [[_size, 1], 1, [_size // 2, 0]]
    _INTRACLASS[f"horizontal_small_to_long_conv_{_name}ratio"] = [[1, _size], 1, [0, _size // 2]]
    _INTRACLASS[f"symmetric_conv_long_{_name}ratio"] = [_size, 1, _size // 2]

# Type -> values; a mapping goes to the part with that name, and `model_type` in it makes the part another than the default.
CONFIGURATIONS: dict[str, dict[str, Any]] = {
    "align": {"projection_dim": 80},
    "align_vision_model": _EFFICIENTNET,
    "apertus1p5": {
        "image_token_offset": 60,
        "audio_token_offset": 68,
        "vision_config": {"codebook_size": 8},
        "audio_config": {"codebook_size": 8},
    },
    "apertus1p5_vision_tokenizer": {"base_channels": 32, "channel_multiplier": [1, 1], "num_res_blocks": 1},
    "blt": {
        "encoder_hash_byte_group_vocab": 100,
        "encoder_config": {"hidden_size_global": 32},
        "decoder_config": {"hidden_size_global": 32},
    },
    # tokens for the places and for the codes of images
    "chameleon": {
        "vocabulary_map": {"<image>": 100}
        | {f"IMGIMG{letter}Z": 101 + number for number, letter in enumerate("ABCDEFGH")}
    },
    "cohere_compass_text": {
        "rope_parameters": {
            "full_attention": {"rope_type": "default", "rope_theta": 10000.0, "mrope_section": [2, 1, 1]}
        }
    },
    "conditional_detr": {"backbone_config": _RESNET},
    "cvt": {"depth": [1, 2, 3], "drop_path_rate": [0.0, 0.0, 0.0]},
    "dab-detr": {"backbone_config": _RESNET},
    "dbrx": {"attn_config": {"rope_theta": 10000.0, "clip_qkv": 8.0}},
    "deepseek_ocr2_text": {"mlp_layer_types": ["dense", "sparse"], "num_experts_per_tok": 2},
    "deformable_detr": {"backbone_config": {"model_type": "resnet", "out_features": _STAGES[1:]}},
    "depth_pro": {"patch_size": 32, "fusion_hidden_size": 32, "intermediate_hook_ids": [1, 0]}
    | {f"{part}_model_config": {"image_size": 32} for part in ("image", "patch", "fov")},
    "detr": {"backbone_config": _RESNET},
    "diffusion_gemma_text": {"num_experts": 4, "top_k_experts": 2, "moe_intermediate_size": 32},
    "dots1": {"n_routed_experts": 4, "n_shared_experts": 1},
    "dots3_note_audio_encoder": {"adapter_input_size": 32, "adapter_out_dim": 32},
    "dots3_note_text": dict.fromkeys(
        ("num_attention_heads", "num_key_value_heads", "swa_num_attention_heads", "swa_num_key_value_heads"), 4
    ),
    "dots3_note_vision_encoder": {"pyramid_num_routed": [0, 4], "adapter_in_dim": 32, "adapter_out_dim": 32},
    "efficientnet": _EFFICIENTNET,
    # tokens for the places, for the end of a row, and for the codes of images
    "emu3": {
        "vocabulary_map": {"<image>": 120, "<|extra_200|>": 99}
        | {f"<|visual token {number:06}|>": 100 + number for number in range(8)}
    },
    "emu3_vqgan": {"base_channels": 32, "channel_multiplier": [1, 1], "num_res_blocks": 1, "codebook_size": 8},
    # height and width, then time
    "ernie4_5_vl_moe_text": {
        "rope_parameters": {"rope_type": "default", "rope_theta": 10000.0, "mrope_section": [1, 1, 2]}
    },
    "esm": {"pad_token_id": 1, "mask_token_id": 2, "vocab_size": 33},
    # a tower that gives maps of features, as the default one of timm does
    "fast_vlm": {"vision_config": {"model_type": "resnet", "hidden_size": 256}},
    "fastspeech2_conformer_hifigan": {
        "upsample_initial_channel": 32,
        "upsample_rates": [2, 2],
        "upsample_kernel_sizes": [4, 4],
        "resblock_kernel_sizes": [3],
        "resblock_dilation_sizes": [[1]],
    },
    "fun_asr_nano": {"adaptor_config": {"intermediate_size": 8}},
    # by default more layers share than there are
    "gemma3n_text": {"num_kv_shared_layers": 0},
    "gemma4_assistant": {
        "text_config": {
            "hidden_size_per_layer_input": 0,
            "vocab_size_per_layer_input": 0,
            "num_hidden_layers": 2,
            "num_kv_shared_layers": 2,
        }
    },
    "gemma4_audio": {"subsampling_conv_channels": [128, 4]},
    "gpt_neo": {"attention_types": [[["global", "local"], 1]]},
    # heads of the resampler are 64 wide
    "granite4_vision": {
        "deepstack_layer_map": [[-1, 0]],
        "spatial_target_layers": [1],
        "downsample_rate": "1/2",
        "vision_config": {"hidden_size": 64},
    },
    "granite_speech5_encoder": {"subsample_layers": [0]},
    "hgnet_v2": {"stem_channels": [3, 4, 6]},
    "hunyuan_v1_dense": {"head_dim": 8},
    "hunyuan_v1_moe": {"head_dim": 8},
    "hunyuan_vl_text": {"head_dim": 8},
    "hy_v4_vl_text": {"rope_parameters": {"rope_type": "default", "rope_theta": 10000.0, "mrope_section": [2, 1, 1]}},
    "instructblipvideo": {"video_token_index": 120, "num_query_tokens": 2},
    "kimi_k25_vision": {"pos_emb_height": 8, "pos_emb_width": 8},
    "kosmos-2": {"latent_query_num": 4},
    "lfm2_moe": {"layer_types": ["conv", "full_attention"]},
    "lightglue": {"keypoint_detector_config": {"max_keypoints": 8}},
    "lw_detr": {"projector_scale_factors": [1.0]},
    "lw_detr_vit": {"num_windows": 4},
    "mamba2": {"num_heads": 8, "head_dim": 8, "hidden_size": 32, "n_groups": 1},
    "mimi": {"upsample_groups": 32, "num_filters": 8},
    "mimi_decoder": {"upsample_groups": 32, "num_filters": 8},
    "minicpm_ocr_vision": {"insert_layer_id": 0},
    "minicpmv4_7_vision": {"insert_layer_id": 0},
    "ministral": {"head_dim": 8},
    # the defaults take minutes
    "mobilevit": {"patch_size": 2, "hidden_sizes": [8, 12, 16], "neck_hidden_sizes": [8, 8, 16, 16, 16, 16, 32]},
    "mobilevitv2": {
        "patch_size": 2,
        "base_attn_unit_dims": [16, 16, 16],
        "n_attn_blocks": [1, 1, 1],
        "width_multiplier": 0.5,
    },
    "molmo2": {"adapter_config": {"vision_feature_layer": [-1, -2]}},
    "moonshine_streaming": {"num_key_value_heads": 4},
    "muse_spark_audio": {"num_hidden_layers": 4},
    "nemotron": {"head_dim": 8, "num_key_value_heads": 2},
    "nemotron_h_omni": {"vision_config": {"video_temporal_patch_size": 2}},
    "neucodec": {"quantization_dim": 64},
    "omdet-turbo": {
        "backbone_config": {"model_type": "swin", "out_features": _STAGES[1:]},
        "encoder_in_channels": [48, 96, 192],
        "apply_layernorm_after_vision_backbone": False,
        "text_config": {"hidden_size": 64},
        "text_projection_in_dim": 64,
        "text_projection_out_dim": 64,
        "class_embed_dim": 64,
        "task_encoder_hidden_dim": 64,
    },
    "pe_video_encoder": {"vision_config": {"model_type": "vit"}},
    "perceiver": {"d_latents": 32, "d_model": 32, "num_self_attends_per_block": 2},
    "perception_lm": {"vision_config": {"model_type": "siglip_vision_model", "model_args": {"embed_dim": 32}}},
    "pocket_tts_audio_tokenizer_decoder": {"upsample_groups": 32, "num_filters": 8},
    "pp_doclayout_v2": {"class_thresholds": [0.5, 0.5], "class_order": [0, 1]},
    "pp_doclayout_v3": {"x4_feat_dim": 16},
    "pp_ocrv5_server_det": {
        "intraclass_block_config": _INTRACLASS,
        "kernel_list": [3, 2, 2],
        "scale_factor_list": [1, 2, 4, 8],
        "backbone_config": {"out_features": _STAGES},
    },
    "pp_ocrv6_medium_det": {
        "intraclass_block_config": _INTRACLASS,
        "kernel_list": [3, 2, 2],
        "scale_factor_list": [1, 2, 4, 8],
        "backbone_config": {"out_features": _STAGES} | _LCNET,
    },
    "pp_ocrv6_small_det": {
        "backbone_config": {"out_features": _STAGES} | _LCNET,
        "layer_list_out_channels": [8, 16, 32, 64],
    },
    "pvt": {"image_size": 32, "patch_sizes": [4, 2, 2, 2], "num_encoder_blocks": 4},
    # tokens that are apart; the default leaves out where images start
    "qwen2_5_omni_thinker": {
        "image_token_index": 120,
        "video_token_index": 121,
        "audio_token_index": 122,
        "audio_start_token_id": 119,
        "vision_start_token_id": 118,
    },
    "qwen2_5_omni_vision_encoder": {"window_size": 32},
    "qwen3_omni_moe_thinker": {
        "image_token_id": 120,
        "video_token_id": 121,
        "audio_token_id": 122,
        "audio_start_token_id": 119,
        "vision_start_token_id": 118,
    },
    "qwen4_exp_text": {
        "layer_types": ["linear_attention", "indexed_attention"],
        "indexer_n_heads": 2,
        "indexer_kv_heads": 1,
        "indexer_head_dim": 8,
        "indexer_budget": 8,
        "indexer_compress_ratio": 2,
    },
    "sam2": {"prompt_encoder_config": {"image_size": 64, "patch_size": 16}},
    "sam2_hiera_det_model": {
        "hidden_size": 8,
        "image_size": [64, 64],
        "blocks_per_stage": [1, 1, 2, 1],
        "embed_dim_per_stage": [8, 16, 32, 64],
        "window_size_per_stage": [2] * 4,
        "global_attention_blocks": [3],
    },
    "sam2_vision_model": {"backbone_channel_list": [64, 32, 16, 8], "backbone_feature_sizes": _PYRAMID},
    "sam3_vision_model": {"backbone_feature_sizes": _PYRAMID},
    "sam_hq_mask_decoder": {"vit_dim": 32},
    "sam_hq_vision_model": {"output_channels": 32, "num_pos_feats": 16, "global_attn_indexes": [1]},
    "sam_vision_model": {"output_channels": 32, "num_pos_feats": 16, "global_attn_indexes": [1]},
    "seggpt": {
        "image_size": [64, 32],
        "pretrain_image_size": 32,
        "merge_index": 0,
        "intermediate_hidden_state_indices": [0, 1],
    },
    "step3p5": {"sliding_window": 16},
    # a multiple of each stage's heads
    "swin": {"embed_dim": 24},
    "t5gemma2_encoder": {"text_config": {"dropout_rate": 0.0}},
    "table-transformer": {"backbone_config": _RESNET},
    "textnet": {"stem_out_channels": 8, "image_size": [64, 64]},
    "tipsv2_dpt": {
        "backbone_config": {"num_hidden_layers": 4, "out_indices": [1, 2, 3, 4], "reshape_hidden_states": False},
        "neck_hidden_sizes": [8] * 4,
    },
    "tvp": {"max_img_size": 64, "visual_prompt_size": 8, "num_frames": 2},
    "uvdoc": {
        "backbone_config": {"out_features": [f"stage{number}" for number in range(1, 7)]},
        "bridge_connector": [128, 128],
    },
    "vibevoice_acoustic_tokenizer": {"num_filters": 4, "depths": [1] * 7},
    "vibevoice_acoustic_tokenizer_decoder": {"num_filters": 4, "depths": [1] * 7},
    "vibevoice_acoustic_tokenizer_encoder": {"num_filters": 4, "depths": [1] * 7},
    "wav2vec2-bert": {"feature_projection_input_dim": 80},
    "wavtokenizer": {"codebook_dim": 32},
    "wavtokenizer_encoder": {"codebook_dim": 32},
    "xcodec2": {"quantization_dim": 64},
    "xmod": {"default_language": "en_XX"},
    "yolos": {"image_size": [32, 32]},
    "zamba": {
        "num_hidden_layers": 3,
        "layers_block_type": ["linear_attention", "hybrid", "hybrid"],
        "n_mamba_heads": 2,
    },
    "zamba2": {"layers_block_type": ["linear_attention", "hybrid"], "n_mamba_heads": 8},
}
