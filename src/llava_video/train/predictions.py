"""Predictions of a trained model on some of its samples, for the report."""

from __future__ import annotations

import base64
from pathlib import Path
from typing import Any

import torch

from llava_video.errors import VideoError
from llava_video.model.media_inputs import MEDIA_INPUTS
from llava_video.pages.pictures import jpeg
from llava_video.records.files import write_whole
from llava_video.records.json_lines import dump_lines
from llava_video.train.data.encode import Encoded, Encoder, RowCollator
from llava_video.train.data.samples import Sample

PREDICTIONS_FILE = "predictions.jsonl"

_MAX_NEW_TOKENS = 128
_PICTURES_PER_SAMPLE = 4
_PICTURE_SIDE = 160


def write_predictions(model: Any, encoder: Encoder, samples: list[Sample], path: Path) -> None:
    """Predict the last answer of each sample, and write the predictions as JSON lines.

    Args:
        model: in evaluation mode, on its device.
        encoder: encodes samples.
        samples: the samples.
        path: the file: sample, question, expected and predicted answer, and thumbnails.
    """
    answers = []
    for sample in samples:
        try:
            answers.append(_predict(model, encoder, sample))
        except VideoError:  # reported during training
            continue
    write_whole(path, dump_lines(answers))


@torch.no_grad()
def _predict(model: Any, encoder: Encoder, sample: Sample) -> dict[str, Any]:
    processor = encoder.processor
    encoded = encoder.encode_question(sample)
    batch = RowCollator(processor)([[encoded]])
    inputs = {name: batch[name] for name in (*MEDIA_INPUTS, "input_ids") if name in batch}
    output = model.generate(
        **{
            name: value.to(model.device) if isinstance(value, torch.Tensor) else value
            for name, value in inputs.items()
        },
        max_new_tokens=_MAX_NEW_TOKENS,
        do_sample=False,
    )
    question, answer = sample.messages[-2:]
    return {
        "sample": sample.name,
        "question": _text_of(question["content"]),
        "expected": answer["content"],
        "predicted": processor.decode_answer(output[0], len(encoded.input_ids)),
        "pictures": _pictures(encoded),
    }


def _text_of(content: Any) -> str:
    if isinstance(content, str):
        return content
    return " ".join(part["text"].strip() for part in content if part["type"] == "text")


def _pictures(encoded: Encoded) -> list[str]:
    """Some of the frames, evenly spread, as JPEG in base64."""
    frames = [picture for video in encoded.seen.frames for picture in video.pixels]
    wanted = min(len(frames), _PICTURES_PER_SAMPLE)
    chosen = [frames[index * (len(frames) - 1) // max(1, wanted - 1)] for index in range(wanted)]
    most = (_PICTURE_SIDE, _PICTURE_SIDE)
    pictures = (jpeg(pixels, most=most, quality=80) for pixels in chosen)
    return [base64.b64encode(picture).decode() for picture in pictures]
