"""Gemma 4's vision tower as a fully trained module beside LoRA. Tiny random weights; nothing is downloaded."""

import tempfile

import peft
import torch
from transformers import Gemma4Config, Gemma4ForConditionalGeneration

torch.manual_seed(0)
text = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2, "num_attention_heads": 4, "head_dim": 8}
text |= {"num_key_value_heads": 2, "vocab_size": 64, "vocab_size_per_layer_input": 64, "hidden_size_per_layer_input": 8}
text |= {"global_head_dim": 16, "layer_types": ["sliding_attention", "full_attention"]}
vision = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2, "num_attention_heads": 4, "head_dim": 8}
vision |= {"num_key_value_heads": 4, "patch_size": 4, "pooling_kernel_size": 2, "position_embedding_size": 16}
special = {"image_token_id": 60, "video_token_id": 61, "audio_token_id": 62, "boi_token_id": 58, "eoi_token_id": 59}
config = Gemma4Config(text_config=text, vision_config=vision, **special)
base = Gemma4ForConditionalGeneration(config)
weights = {name: value.clone() for name, value in base.state_dict().items()}

grid = torch.tensor([[x, y] for y in range(4) for x in range(4)])  # 16 patches, pooled 2x2 to four soft tokens
ids = torch.tensor([[2, 58, 60, 60, 60, 60, 59, 7, 8], [2, 58, 60, 60, 60, 60, 59, 9, 4]])
batch = {"input_ids": ids, "labels": ids.masked_fill(ids >= 58, -100), "mm_token_type_ids": (ids == 60).long()}
batch |= {"pixel_values": torch.rand(2, 16, 48), "image_position_ids": grid.expand(2, 16, 2)}
expected = base(**batch).loss

attention = r".*language_model.*\.(q_proj|v_proj)"
lora = peft.LoraConfig(r=4, target_modules=attention, modules_to_save=["vision_tower", "embed_vision"])
model = peft.get_peft_model(base, lora)
print(f"peft {peft.__version__}: loss {model(**batch).loss:.4f}, unwrapped {expected:.4f}")  # stock 0.19.1 dies here

optimizer = torch.optim.AdamW([p for p in model.parameters() if p.requires_grad], lr=1e-2)
for _ in range(10):
    optimizer.zero_grad()
    model(**batch).loss.backward()
    optimizer.step()
model.eval()
trained = model(**batch)
print(f"after ten steps: loss {trained.loss:.4f}")

with tempfile.TemporaryDirectory() as folder:
    model.save_pretrained(folder)
    fresh = Gemma4ForConditionalGeneration(config)
    fresh.load_state_dict(weights)
    reloaded = peft.PeftModel.from_pretrained(fresh, folder).eval()
print("reloaded, same output:", torch.equal(reloaded(**batch).logits, trained.logits))
print("merged, same output:", torch.allclose(model.merge_and_unload()(**batch).logits, trained.logits, atol=1e-4))
