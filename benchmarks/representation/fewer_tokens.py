"""Accuracy of `tiny` against the video tokens it gets, on multiple-choice questions of toyworld.

Much cheaper than `eval tables tiny-fewer-tokens`, which generates answers: a video is decoded and
encoded once for all rows, its tokens are read once for all its questions, and the answer is the
likeliest letter. Rows with `positions` keep the places that tokens had before the selection, as EVS
does; no other part of this project does. Results are appended video by video, so that a run can be
stopped, continued, and shared by processes (`--part 0/2`, `--part 1/2`); `--report` prints what is
there: accuracy, and paired differences to all tokens with 95 % intervals clustered by video.

Run: python benchmarks/representation/fewer_tokens.py OUT [--videos 200] [--part 0/1] [--report]
"""

from __future__ import annotations

import argparse
import json
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

import llava_video as lv
from llava_video.evaluate.annotations.question import Question
from llava_video.evaluate.annotations.rows import read_rows
from llava_video.evaluate.curve_plot import plot_curves
from llava_video.evaluate.scoring.scores import Mean, mean_of
from llava_video.evaluate.tasks import toyworld
from llava_video.model.outputs import CACHE
from llava_video.processing.processor import LlavaVideoProcessor
from llava_video.representation import make_layout, parse_representation
from llava_video.representation.dissimilarity import select_tokens
from llava_video.types import Frames

TITLE = "Fewer video tokens, tiny"


@dataclass(frozen=True, slots=True)
class Row:
    """What is compared: a curve, a representation, and whether tokens keep their positions."""

    curve: str
    representation: str
    keeps_positions: bool = False

    @property
    def name(self) -> str:
        """As tables print it."""
        return f"{self.representation}{' positions' if self.keeps_positions else ''}"


ROWS = (
    Row("all", "12,64,3,2"),
    *(Row("fewer frames", f"{frames},64,3,2") for frames in (9, 6, 3)),
    *(
        Row(method, f"12,64,3,2 {method}={share}")
        for method in ("random", "evs", "tstm")
        for share in (0.75, 0.5, 0.25)
    ),
    *(Row("evs, positions kept", f"12,64,3,2 evs={share}", True) for share in (0.75, 0.5, 0.25)),
)


class Asker:
    """Answers the questions about a video for each row."""

    def __init__(self) -> None:
        self.model, self.processor = lv.load("tiny", dtype=torch.float32)
        tokenizer = self.processor.tokenizer
        self.letters = {letter: tokenizer(letter)["input_ids"][0] for letter in "ABCDEFGH"}

    def ask(self, video: Path, questions: Sequence[Question]) -> dict[str, list[bool]]:
        """Which questions are answered correctly, for the name of each row."""
        encoded: dict[int, tuple[Frames, Tensor]] = {}
        right = {}
        for row in ROWS:
            wanted = parse_representation(row.representation, self.processor.representation)
            num_frames = wanted.max_frames
            if num_frames not in encoded:
                frames = self.processor.sample_frames(str(video), num_frames=num_frames)
                pixels = self.processor.preprocess(frames)
                encoded[num_frames] = frames, self.model.model.encode_frames(pixels)
            frames, features = encoded[num_frames]
            processor = self.processor.with_representation(wanted)
            scores = self._read(processor, frames, features, questions, row.keeps_positions)
            right[row.name] = [
                max("ABCDEFGH"[: len(question.options)], key=lambda a: own[self.letters[a]])
                == question.answer
                for question, own in zip(questions, scores, strict=True)
            ]
        return right

    def _read(
        self,
        processor: LlavaVideoProcessor,
        frames: Frames,
        features: Tensor,
        questions: Sequence[Question],
        keeps_positions: bool,
    ) -> Tensor:
        """Scores of the first token of each answer, (questions, vocabulary)."""
        layout = make_layout(processor.representation, len(frames))
        tokens = self.model.model.tokens_of(features, processor.representation)
        prompts = [self._prompt(processor, frames, question) for question in questions]
        shared = max(i for i, id in enumerate(prompts[0]) if id == processor.video_token_id) + 1
        first = shared - layout.num_tokens
        positions = torch.arange(max(map(len, prompts)))[None]
        if keeps_positions:
            kept = torch.from_numpy(select_tokens(features, layout).kept)
            positions = positions + layout.num_packed_tokens - layout.num_tokens
            positions[0, :first] = torch.arange(first)
            positions[0, first:shared] = first + kept
        prefix = self.model.model.embed(torch.tensor([prompts[0][:shared]]), [tokens])
        cache = self.model.model(
            inputs_embeds=prefix, position_ids=positions[:, :shared], use_cache=True
        )[CACHE]
        cache.batch_repeat_interleave(len(prompts))
        longest = max(map(len, prompts))
        # Padding on the right: nothing in front of it sees it.
        endings = [ids[shared:] + [0] * (longest - len(ids)) for ids in prompts]
        hidden = self.model.model(
            input_ids=torch.tensor(endings),
            position_ids=positions[:, shared:].expand(len(prompts), -1),
            **{CACHE: cache},
        ).last_hidden_state
        last = torch.tensor([len(ids) - shared - 1 for ids in prompts])
        return self.model.lm_head(hidden[torch.arange(len(prompts)), last])

    @staticmethod
    def _prompt(processor: LlavaVideoProcessor, frames: Frames, question: Question) -> list[int]:
        text = toyworld.TOYWORLD.prompts["official"](question)
        parts = [{"type": "video", "video": frames}, {"type": "text", "text": text}]
        conversation = [{"role": "user", "content": parts}]
        return processor.renderer.render(conversation, [processor.slot_of(frames)]).input_ids


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("out", type=Path)
    parser.add_argument("--videos", type=int, default=200)
    parser.add_argument("--part", default="0/1", help="number of this process / of processes")
    parser.add_argument("--report", action="store_true")
    options = parser.parse_args()
    if options.report:
        report(options.out)
        return
    torch.set_num_threads(1)
    torch.set_grad_enabled(False)
    number, count = map(int, options.part.split("/"))
    made = options.out / "videos-made"
    file = toyworld.make(made, options.videos, "standard") if number == 0 else made / toyworld.FILE
    by_video: dict[str, list[Question]] = defaultdict(list)
    form = toyworld.TOYWORLD.forms[0]
    for row in read_rows(file):
        question = form.parse(row)
        if question.options:
            by_video[question.video].append(question)
    path = options.out / f"results-{number}-{count}.jsonl"
    done = {json.loads(line)["video"] for line in path.open()} if path.exists() else set()
    asker = Asker()
    for video in sorted(by_video)[: options.videos][number::count]:
        if video not in done:
            questions = by_video[video]
            right = asker.ask(made / video, questions)
            types = [question.type for question in questions]
            with path.open("a") as results:
                results.write(json.dumps({"video": video, "types": types, "right": right}) + "\n")


def report(out: Path) -> None:
    """Print tables of what is there, and write ``curves.svg``."""
    lines = [json.loads(line) for path in out.glob("results-*.jsonl") for line in path.open()]
    clusters = [line["video"] for line in lines for _ in line["types"]]
    types = [name for line in lines for name in line["types"]]
    right = {
        row.name: [float(value) for line in lines for value in line["right"][row.name]]
        for row in ROWS
    }
    first = right[ROWS[0].name]
    print(f"{len(types)} questions about {len(lines)} videos\n")
    print("| | video tokens | accuracy | more |\n|---|---|---|---|")
    curves: dict[str, list[tuple[int, Mean]]] = defaultdict(list)
    for row in ROWS:
        wanted = parse_representation(row.representation)
        num_tokens = make_layout(wanted, wanted.max_frames).num_tokens
        accuracy = mean_of(right[row.name], clusters)
        more = mean_of([b - a for a, b in zip(first, right[row.name], strict=True)], clusters)
        curves[row.curve].append((num_tokens, accuracy))
        difference = "" if row is ROWS[0] else f"{more.mean:+.3f} ± {1.96 * more.stderr:.3f}"
        print(f"| {row.name} | {num_tokens} | {_text(accuracy)} | {difference} |")
    reference = curves.pop(ROWS[0].curve)[0]
    (out / "curves.svg").write_text(plot_curves(TITLE, curves, reference))
    names = sorted(set(types))
    print("\n| type | questions |", " | ".join(row.name for row in ROWS), "|")
    print("|---" * (len(ROWS) + 2) + "|")
    for name in names:
        own = [index for index, value in enumerate(types) if value == name]
        cells = [f"{sum(right[row.name][i] for i in own) / len(own):.2f}" for row in ROWS]
        print(f"| {name} | {len(own)} |", " | ".join(cells), "|")


def _text(mean: Mean) -> str:
    return f"{mean.mean:.3f} ± {1.96 * mean.stderr:.3f}"


if __name__ == "__main__":
    main()
