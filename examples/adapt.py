"""Teach a model a new way of answering with adapters of peft: python examples/adapt.py [FOLDER].

The embedded model learns to answer in a sentence where it answered in a word. Needs peft
(pip install -c constraints.txt '.[train]') and a few seconds.
"""

import argparse
from importlib.resources import files
from typing import Any

import peft
import torch

import llava_video as lv
from llava_video.train.lora_targets import LORA_TARGETS

SAMPLE = str(files("llava_video") / "assets" / "samples" / "three_shapes.mp4")
QUESTION = "In which direction does the ring move?"
ANSWER = "The ring moves left."


def ask(model: Any, processor: Any) -> str:
    inputs = processor(QUESTION, SAMPLE)
    output = model.generate(**inputs, max_new_tokens=16, do_sample=False)
    return str(processor.decode_answer(output[0], inputs["input_ids"].shape[1]))


def main() -> None:
    parser = argparse.ArgumentParser(
        description="Teach the embedded model, with adapters of peft, to answer in a sentence "
        "where it answered in a word. Prints its answer before and after."
    )
    parser.add_argument("folder", nargs="?", default="adapter", help="where the adapter is written")
    folder = parser.parse_args().folder
    model, processor = lv.load("tiny")
    print("before:", ask(model, processor))

    shown = [{"type": "video", "path": SAMPLE}, {"type": "text", "text": QUESTION}]
    messages = [{"role": "user", "content": shown}, {"role": "assistant", "content": ANSWER}]
    prompt = processor.apply_chat_template(messages[:1])
    inputs = processor.apply_chat_template(messages, add_generation_prompt=False)
    labels = inputs["input_ids"].clone()
    labels[:, : prompt["input_ids"].shape[1]] = -100  # only the answer is learnt

    torch.manual_seed(0)
    config = peft.LoraConfig(r=8, target_modules=LORA_TARGETS["language_model"])
    adapted = peft.get_peft_model(model, config)
    optimizer = torch.optim.AdamW(adapted.parameters(), lr=1e-2)
    for _ in range(30):
        loss = adapted(**inputs, labels=labels).loss
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
    adapted.save_pretrained(folder)

    fresh, _ = lv.load("tiny")
    again = peft.PeftModel.from_pretrained(fresh, folder)
    print("after: ", ask(again, processor))


if __name__ == "__main__":
    main()
