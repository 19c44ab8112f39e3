"""Ask a model about a video from Python: python examples/ask.py [VIDEO] [QUESTION]."""

import argparse
from importlib.resources import files

import llava_video as lv

SAMPLE = files("llava_video") / "assets" / "samples" / "three_shapes.mp4"


def main() -> None:
    parser = argparse.ArgumentParser(description="Ask a model about a video.")
    parser.add_argument("video", nargs="?", default=str(SAMPLE))
    parser.add_argument("question", nargs="?", default="In which direction does the ring move?")
    options = parser.parse_args()

    model, processor = lv.load("tiny")  # or the directory or name of a released checkpoint
    frames = lv.read_video(options.video, num_frames=12, size=processor.image_size)
    inputs = processor(options.question, frames)
    output = model.generate(**inputs, max_new_tokens=64, do_sample=False)
    print(processor.decode_answer(output[0], inputs["input_ids"].shape[1]))


if __name__ == "__main__":
    main()
