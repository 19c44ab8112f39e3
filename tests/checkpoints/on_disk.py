"""Checkpoints that tests write and change."""

import json
from pathlib import Path

from llava_video.representation import VideoRepresentation
from tests.model.small import small_config, small_model, small_processor

ONEVISION = VideoRepresentation(max_frames=8, grid_side=8, pooling="bilinear", newline="end")


def save_native(directory: Path, representation: VideoRepresentation, **changes: object) -> Path:
    processor = small_processor(small_config(video_representation=representation.to_dict()))
    model = small_model(
        video_representation=representation.to_dict(),
        video_token_id=processor.video_token_id,
        has_separator=representation.separator,
        **changes,
    )
    model.save_pretrained(directory)
    processor.save_pretrained(directory)
    return directory


def change_config(directory: Path, **changes: object) -> None:
    path = directory / "config.json"
    values = json.loads(path.read_text())
    values.update(changes)
    path.write_text(json.dumps({k: v for k, v in values.items() if v is not None}))
