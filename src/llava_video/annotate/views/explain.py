"""Provenance of an annotation: its calls, prompts, frames and parent captions."""

from __future__ import annotations

import difflib
from pathlib import Path
from typing import Any

from llava_video.annotate.records import QA, Caption, Provenance, VideoRecord, read_records
from llava_video.annotate.run_folder import finished_records
from llava_video.calls.ledger import Ledger, open_ledger
from llava_video.errors import InputError


def explain(folder: Path, wanted: str) -> dict[str, Any]:
    """The provenance of a question, a caption or a video, as nested plain values.

    Each node has ``id``, its text, its call and its ``parents``. A question that was
    left out is explained too, with the reason.

    Raises:
        InputError: nothing has this id.
    """
    ledger = open_ledger(folder)
    path = folder / "records.jsonl"
    final = list(read_records(path)) if path.is_file() else finished_records(ledger)
    for record in final:
        node = _find(record, wanted, ledger)
        if node is not None:
            return node
    ids = [item for record in final for item in _ids(record)]
    close = difflib.get_close_matches(wanted, ids, n=3, cutoff=0.3)
    hint = f"; close are {', '.join(close)}" if close else ""
    raise InputError(f"{wanted}: nothing in {folder} has this id{hint}")


def _ids(record: VideoRecord) -> list[str]:
    rejected = [r.subject_id for r in record.rejections]
    return [
        record.video_id,
        *(qa.qa_id for qa in record.qas),
        *(c.caption_id for c in record.captions),
        *rejected,
    ]


def _find(record: VideoRecord, wanted: str, ledger: Ledger) -> dict[str, Any] | None:
    for qa in record.qas:
        if qa.qa_id == wanted:
            return _qa_node(qa, record, ledger)
    for caption in record.captions:
        if caption.caption_id == wanted:
            return _caption_node(caption, record, ledger)
    rejections = [r for r in record.rejections if r.subject_id == wanted]
    if not rejections and record.video_id != wanted:
        return None
    node: dict[str, Any] = {"id": wanted}
    for rejection in rejections:
        node[f"left out at {rejection.stage}"] = f"{rejection.reason}: {rejection.detail}"
        if rejection.raw_text:
            node["text"] = rejection.raw_text
    description = record.description
    if record.video_id == wanted and record.facts is not None:
        node["seconds"] = record.facts.duration_seconds
        node["size"] = f"{record.facts.width} x {record.facts.height}"
        node["scenes"] = record.facts.num_scenes
    node["parents"] = [_caption_node(description, record, ledger)] if description else []
    return node


def _qa_node(qa: QA, record: VideoRecord, ledger: Ledger) -> dict[str, Any]:
    node: dict[str, Any] = {
        "id": qa.qa_id,
        "type": qa.type,
        "question": qa.question,
        "answer": qa.answer,
    }
    if qa.options:
        node["options"] = list(qa.options)
    if qa.tags:
        node["tags"] = list(qa.tags)
    node["evidence"] = f"{qa.evidence_start_seconds:g} to {qa.evidence_end_seconds:g} s"
    return {**node, **_origin(qa.provenance, record, ledger)}


def _caption_node(caption: Caption, record: VideoRecord, ledger: Ledger) -> dict[str, Any]:
    return {
        "id": caption.caption_id,
        "span": f"{caption.start_seconds:g} to {caption.end_seconds:g} s",
        "text": caption.text,
        **_origin(caption.provenance, record, ledger),
    }


def _origin(provenance: Provenance, record: VideoRecord, ledger: Ledger) -> dict[str, Any]:
    rows = ledger.query(
        "SELECT request_id, prompt_tokens, completion_tokens, reasoning_tokens, usd,"
        " (SELECT COUNT(*) FROM attempts WHERE attempts.key = calls.key), thoughts"
        " FROM calls WHERE key = ?",
        (provenance.call_key,),
    )
    names = (
        "request_id",
        "prompt_tokens",
        "completion_tokens",
        "reasoning_tokens",
        "usd",
        "attempts",
        "thoughts",
    )
    call = dict(zip(names, rows[0], strict=True)) if rows else {"request_id": "not in the ledger"}
    if not call.get("thoughts"):
        call.pop("thoughts", None)
    captions = {caption.caption_id: caption for caption in record.captions}
    node: dict[str, Any] = {
        "model": provenance.model,
        "prompt": provenance.prompt,
        "call": {"key": provenance.call_key, **call},
    }
    if provenance.frame_seconds:
        node["frames"] = [
            f"{seconds:.1f} s {digest[:12]}"
            for seconds, digest in zip(
                provenance.frame_seconds, provenance.frame_digests, strict=True
            )
        ]
    node["parents"] = [
        _caption_node(captions[parent], record, ledger) for parent in provenance.parents
    ]
    return node
