"""Evaluation on benchmarks, on inspect_ai: tasks, prompts, extraction, scores, tables, reports.

The rooms, in the order of the data::

    annotations/  rows of files become `Question` values; names become video files
    tasks/        one module per benchmark: its rows, its prompts, its extractors
    extraction/   from an answer to the option it chooses: ours, and the rules of other harnesses
    asked         questions as they are put: prompt, video, baseline
    harness/      inspect_ai's side: tasks, our provider, scorers, judges, kept answers
    scoring/      outcomes, and accuracy with intervals clustered by video; paired; power
    run, doctor, rescore, compare, report, tables     the verbs of ``llava-video eval``

Nothing here knows weights: what answers is a `llava_video.chat.protocol.ChatModel`, or any model
of inspect_ai.
"""
