"""Evaluation on benchmarks, on inspect_ai: tasks, prompts, extraction, scores, tables, reports.

The rooms, in the order of the data::

    tasks/       one module per benchmark: its rows become `Question` values and prompts
    extraction/  from an answer to the option it chooses: ours, and the rules of other harnesses
    harness/     inspect_ai's side: tasks, the provider of our models, scorers, judges, answers kept
    scores       accuracy with intervals clustered by video, per type; paired differences; power
    outcomes     what became of each question: the file that everything below reads
    run, doctor, rescore, compare, report, tables     the verbs of ``llava-video eval``

Nothing here knows weights: what answers is a `llava_video.chat.protocol.ChatModel`, or any model
of inspect_ai.
"""
