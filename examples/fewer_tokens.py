"""Ask with ever fewer video tokens: python examples/fewer_tokens.py [VIDEO] [QUESTION].

The number of tokens is known before the video is: the layout counts it from the number of frames.
"""

import argparse
from importlib.resources import files

import llava_video as lv
from llava_video.representation import make_layout

SAMPLE = files("llava_video") / "assets" / "samples" / "three_shapes.mp4"


def main() -> None:
    parser = argparse.ArgumentParser(description="Ask with ever fewer video tokens.")
    parser.add_argument("video", nargs="?", default=str(SAMPLE))
    parser.add_argument("question", nargs="?", default="In which direction does the ring move?")
    options = parser.parse_args()

    for selection in ("all", "evs=0.75", "evs=0.5", "tstm=0.5", "evs=0.25", "tstm=0.25"):
        model, processor = lv.load("tiny", representation=selection)
        frames = processor.sample_frames(options.video)
        num_tokens = make_layout(processor.representation, len(frames)).num_tokens
        inputs = processor(options.question, frames)
        output = model.generate(**inputs, max_new_tokens=64, do_sample=False)
        answer = processor.decode_answer(output[0], inputs["input_ids"].shape[1])
        print(f"{selection:<10} {num_tokens:>3} video tokens: {answer}")


if __name__ == "__main__":
    main()
