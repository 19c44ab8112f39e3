"""Which layers low-rank adapters go to, by part of the model: ``target_modules`` of peft."""

LORA_TARGETS = {
    "language_model": r".*language_model\.layers\..*\.(q|k|v|o|gate|up|down)_proj",
    "projector": r".*projector\.linear_[12]",
    "vision_encoder": r".*vision_encoder\.encoder\..*\.(q_proj|k_proj|v_proj|out_proj|fc1|fc2)",
}
"""All linear layers of a part. Names repeat between the parts, so each names its own."""
