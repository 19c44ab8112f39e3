"""Convert checkpoints between layouts, tensor by tensor, without loading a model.

Three layouts: ``released`` (lmms-lab/LLaVA-Video-7B-Qwen2), ``native`` (our ``save_pretrained``)
and ``llava-onevision`` (transformers' class, where that computes the same). Bytes of tensors are
copied as they are; only names and configurations change. Each file of the source becomes one file.
"""

from __future__ import annotations

import contextlib
import json
import shutil
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Literal, get_args

import torch

from llava_video.checkpoints import layouts
from llava_video.checkpoints.files.json_files import read_json
from llava_video.checkpoints.files.pickles import as_safetensors
from llava_video.checkpoints.files.side_files import has_tokenizer, load_tokenizer
from llava_video.checkpoints.load import find_checkpoint, load_config, load_processor
from llava_video.checkpoints.onevision import is_onevision_layout
from llava_video.checkpoints.released import ENCODER_KEY, is_released_layout
from llava_video.checkpoints.safetensors_files import StoredTensor, read_headers, write_shards
from llava_video.errors import CheckpointError
from llava_video.model.configuration import LlavaVideoConfig
from llava_video.model.modeling import LlavaVideoForConditionalGeneration
from llava_video.records.files import writing

Layout = Literal["released", "native", "llava-onevision"]

Shards = list[list[tuple[str, StoredTensor]]]
"""For each file, the names and places of its tensors."""

ORIGINAL = "released_config"
"""Key of our config.json that keeps the released one: the official code reads more than we do."""

_TOKENIZER_FILES = (
    "tokenizer.json",
    "tokenizer_config.json",
    "vocab.json",
    "merges.txt",
    "added_tokens.json",
    "special_tokens_map.json",
    "chat_template.jinja",
    "chat_template.json",
)
_OTHER_FILES = ("generation_config.json", "preprocessor_config.json", "README.md", "LICENSE")


@dataclass(frozen=True, slots=True)
class Conversion:
    """The result of a conversion.

    Attributes:
        source: the directory that was read.
        source_layout: its layout.
        destination: the directory that was written.
        layout: its layout.
        num_tensors: tensors written.
        num_files: weight files written.
        num_bytes: bytes of tensors.
        notes: what the reader should know, one sentence each.
    """

    source: str
    source_layout: Layout
    destination: str
    layout: Layout
    num_tensors: int
    num_files: int
    num_bytes: int
    notes: tuple[str, ...]

    def to_dict(self) -> dict[str, Any]:
        """The attributes as JSON-compatible values."""
        return asdict(self)


@dataclass(frozen=True, slots=True)
class Source:
    """An inspected checkpoint.

    Attributes:
        directory: where it is.
        layout: how it is laid out.
        config: its configuration as one of ours.
        original: the released config.json that it has or once had, or nothing.
        shards: where its tensors lie, under our names.
    """

    directory: Path
    layout: Layout
    config: LlavaVideoConfig
    original: dict[str, Any]
    shards: Shards


def convert_checkpoint(
    source: str | Path,
    destination: str | Path,
    to: Layout | None = None,
    on_bytes: Callable[[int, int], None] = lambda done, total: None,
) -> Conversion:
    """Write a checkpoint in another layout.

    The destination appears under its name when it is complete, and not before.

    Args:
        source: what `load` takes: a directory, or a name on the model hub.
        destination: a directory that does not exist.
        to: the layout to write; by default the other one of ``released`` and ``native``.
        on_bytes: called with the bytes just written and the total.

    Raises:
        CheckpointError: the source is unusable, the destination exists or cannot be written, or
            the target layout would lose something.
    """
    target = Path(destination).expanduser()
    if target.exists() or target.is_symlink():
        raise CheckpointError(f"{target} exists already; give a directory that does not")
    if to is not None and to not in get_args(Layout):
        known = ", ".join(get_args(Layout))
        raise CheckpointError(f"no layout is called {to!r}; known are {known}")
    directory = find_checkpoint(source)
    scratch = target.absolute().parent
    with _writable(target, scratch), as_safetensors(directory, scratch) as readable:
        done = _convert(readable, target, to, on_bytes, may_stay=readable != directory)
    return replace(done, source=str(directory))


def _convert(
    source: Path,
    target: Path,
    to: Layout | None,
    on_bytes: Callable[[int, int], None],
    *,
    may_stay: bool,
) -> Conversion:
    """`convert_checkpoint` of safetensors; pickles that became some may stay in their layout."""
    checkpoint = inspect_checkpoint(source)
    layout = to or ("released" if checkpoint.layout == "native" else "native")
    if layout == checkpoint.layout and not may_stay:
        raise CheckpointError(f"{source} is in the {layout} layout already; nothing to convert")
    total = sum(tensor.num_bytes for shard in checkpoint.shards for _, tensor in shard)
    with _appearing_at(target, total) as directory:
        if layout == "native":
            shards, notes = _prepare_native(checkpoint, directory)
        elif layout == "released":
            shards, notes = _prepare_released(checkpoint, directory)
        else:
            shards, notes = _prepare_onevision(checkpoint, directory)
        write_shards(directory, shards, lambda done: on_bytes(done, total))
    return Conversion(
        source=str(source),
        source_layout=checkpoint.layout,
        destination=str(target),
        layout=layout,
        num_tensors=sum(map(len, shards)),
        num_files=len(shards),
        num_bytes=total,
        notes=tuple(notes),
    )


def inspect_checkpoint(directory: Path) -> Source:
    """Load configuration and headers, and check that they belong to one model.

    Raises:
        CheckpointError: something is missing, unknown, or of another shape.
    """
    config = load_config(directory, with_vision=False)
    values = read_json(directory / "config.json")
    layout: Layout = "native"
    if is_released_layout(values):
        layout = "released"
    elif is_onevision_layout(values):
        layout = "llava-onevision"
    shards: Shards = [
        [(layouts.native_name(t.name), t) for t in shard] for shard in read_headers(directory)
    ]
    names = {name for shard in shards for name, _ in shard}
    if layout == "released" and not any(n.startswith("model.vision_encoder.") for n in names):
        shards += _vision_encoder_beside(directory, values, config)
    _check_complete(directory, config, shards)
    original = {"released": values, "native": values.get(ORIGINAL, {}), "llava-onevision": {}}
    return Source(directory, layout, config, original[layout], shards)


def _vision_encoder_beside(
    directory: Path, values: dict[str, Any], config: LlavaVideoConfig
) -> Shards:
    """Tensors of a vision encoder that lies in a checkpoint of its own, as ``mm_vision_tower``.

    The last layer, the pooling head and the text encoder of SigLIP are left behind, as the official
    code does.
    """
    name = str(values.get(ENCODER_KEY) or "")
    place = directory / name
    if not name or not place.is_dir():
        try:
            place = find_checkpoint(name)
        except CheckpointError as error:
            raise CheckpointError(
                f"{directory} has no vision encoder, and {ENCODER_KEY} {name!r} in its config.json "
                f"is neither a directory nor can it be downloaded; put SigLIP's files into {place}"
            ) from error
    vision = config.vision
    shards: Shards = []
    for shard in read_headers(place):
        kept = []
        for tensor in shard:
            _, inside, rest = tensor.name.partition("vision_model.")
            if not inside or rest.startswith("head."):
                continue
            parts = rest.split(".")
            if parts[:2] == ["encoder", "layers"] and int(parts[2]) >= vision.num_hidden_layers:
                continue
            kept.append((f"model.vision_encoder.{rest}", tensor))
        if kept:
            shards.append(kept)
    return shards


def _check_complete(directory: Path, config: LlavaVideoConfig, shards: Shards) -> None:
    """Refuse tensors that are missing, unknown, double or of another shape, before any is read."""
    with torch.device("meta"):
        model = LlavaVideoForConditionalGeneration(config)
    wanted = {name: tuple(tensor.shape) for name, tensor in model.state_dict().items()}
    found: dict[str, tuple[int, ...]] = {}
    for name, tensor in (pair for shard in shards for pair in shard):
        if name not in wanted:
            raise CheckpointError(
                f"{tensor.file} has a tensor that the model does not know: {tensor.name}; weights "
                "and config.json are not of one model"
            )
        if name in found:
            raise CheckpointError(f"{tensor.file} has the tensor {tensor.name} a second time")
        if tensor.shape != wanted[name]:
            raise CheckpointError(
                f"{tensor.file}: {tensor.name} has the shape {tensor.shape}, config.json says "
                f"{wanted[name]}; weights and config.json are not of one model"
            )
        found[name] = tensor.shape
    tied = {"lm_head.weight"} if config.tie_word_embeddings else set()
    missing = sorted(set(wanted) - set(found) - tied)
    if missing:
        raise CheckpointError(f"{directory} lacks the tensor {missing[0]}; download it again")


def _prepare_native(source: Source, directory: Path) -> tuple[Shards, list[str]]:
    config = LlavaVideoConfig.from_dict({**source.config.to_dict(), ORIGINAL: source.original})
    config.architectures = [LlavaVideoForConditionalGeneration.__name__]
    config.save_pretrained(directory)
    _copy_files(source.directory, directory, (*_TOKENIZER_FILES, *_other_files(source)))
    if not has_tokenizer(source.directory):
        return source.shards, ["the source has no tokenizer, so no processor was written"]
    with tempfile.TemporaryDirectory() as elsewhere:
        load_processor(directory, config).save_pretrained(elsewhere)
        shutil.copyfile(
            Path(elsewhere, "processor_config.json"), directory / "processor_config.json"
        )
    return source.shards, []


def _prepare_released(source: Source, directory: Path) -> tuple[Shards, list[str]]:
    shards = [[(layouts.released_name(name), t) for name, t in shard] for shard in source.shards]
    names = {name for shard in shards for name, _ in shard}
    values = layouts.released_values(source.config, names, source.original, str(source.directory))
    _write_json(directory / "config.json", values)
    _copy_files(source.directory, directory, (*_TOKENIZER_FILES, *_other_files(source)))
    notes = []
    max_frames = source.config.representation.max_frames
    if max_frames != 64:
        notes.append(f"the released layout does not say T = {max_frames}; readers sample 64 frames")
    if "vision_config" in values:
        notes.append("the vision encoder is not so400m; the official code cannot load it")
    return shards, notes


def _prepare_onevision(source: Source, directory: Path) -> tuple[Shards, list[str]]:
    reason = layouts.why_not_onevision(source.config)
    if reason is not None:
        raise CheckpointError(
            f"{source.directory} cannot become a LlavaOnevisionForConditionalGeneration without "
            f"loss: {reason}"
        )
    if not has_tokenizer(source.directory):
        raise CheckpointError(
            f"{source.directory} has no tokenizer, which must learn LlavaOnevision's placeholders; "
            "copy the tokenizer files of the checkpoint into it"
        )
    _copy_files(source.directory, directory, _OTHER_FILES)
    tokenizer = load_tokenizer(source.directory)
    tokenizer.add_tokens(["<image>", "<video>"], special_tokens=True)  # those it does not have
    text = source.config.text
    if len(tokenizer) > text.vocab_size:
        raise CheckpointError(
            f"{source.directory}: LlavaOnevision needs the tokens <image> and <video>, but the "
            f"embedding has only {text.vocab_size} rows"
        )
    tokenizer.save_pretrained(directory)
    image_id, video_id = tokenizer.convert_tokens_to_ids(["<image>", "<video>"])
    config = layouts.onevision_config(source.config, image_id, video_id)
    config.save_pretrained(directory)
    for name, values in layouts.onevision_processor_files(source.config, config).items():
        _write_json(directory / name, values)
    shards = [[(layouts.onevision_name(name), t) for name, t in shard] for shard in source.shards]
    notes = [
        "transformers samples other frames and writes no time instruction; see docs/checkpoints.md"
    ]
    if source.config.images.unsupported:
        notes.append(f"LlavaOnevision cuts images in tiles; {source.config.images.unsupported}")
    elif not source.config.images.tile_grids:
        notes.append(
            "this checkpoint shows an image as one square, LlavaOnevision cuts it in tiles"
        )
    return shards, notes


def _other_files(source: Source) -> tuple[str, ...]:
    """Files to copy as they are; LlavaOnevision's processor is another one than ours."""
    if source.layout != "llava-onevision":
        return _OTHER_FILES
    return tuple(name for name in _OTHER_FILES if name != "preprocessor_config.json")


def _copy_files(source: Path, target: Path, names: tuple[str, ...]) -> None:
    for name in names:
        if (source / name).is_file():
            shutil.copyfile(source / name, target / name)


def _write_json(file: Path, values: dict[str, Any]) -> None:
    file.write_text(json.dumps(values, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")


@contextlib.contextmanager
def _appearing_at(target: Path, num_bytes: int) -> Iterator[Path]:
    """A hidden directory beside the target, which takes its name if all goes well.

    The remains of a killed process are not a checkpoint either: the last weight file is cut
    short, or the index, which is written after the last one, is missing.
    """
    with writing(target, by_many=True) as unfinished:
        unfinished.mkdir()
        free = shutil.disk_usage(unfinished).free
        if free < num_bytes:
            raise CheckpointError(
                f"{target} needs {num_bytes / 1e9:.1f} GB, {free / 1e9:.1f} GB are free there"
            )
        yield unfinished


@contextlib.contextmanager
def _writable(target: Path, parent: Path) -> Iterator[None]:
    """Make the directory that the target lies in.

    Raises:
        CheckpointError: the disk does not take what is written.
    """
    try:
        parent.mkdir(parents=True, exist_ok=True)
        yield
    except OSError as error:
        raise CheckpointError(f"{target} cannot be written: {error}") from error
