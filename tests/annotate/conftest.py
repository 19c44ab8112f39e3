"""What several tests of the data engine share."""

import pytest
from tokenizers import Tokenizer
from tokenizers.decoders import ByteLevel as ByteLevelDecoder
from tokenizers.models import BPE
from tokenizers.pre_tokenizers import ByteLevel
from tokenizers.trainers import BpeTrainer

from tests.annotate.fake_endpoint import FakeEndpoint
from tests.annotate.make_videos import write_video
from tests.annotate.running import recipe_for, run_quietly


@pytest.fixture(scope="session")
def videos(tmp_path_factory):
    """A folder with three videos of 4, 14 and 34 seconds."""
    folder = tmp_path_factory.mktemp("annotate") / "videos"
    for seed, seconds in enumerate((4, 14, 34)):
        write_video(folder / f"v{seed}.mp4", seconds=seconds, size=(36, 48), seed=seed)
    return folder


@pytest.fixture(scope="session")
def finished(videos):
    """A finished run over these videos, with all sixteen types."""
    out = videos.parent / "finished"
    with FakeEndpoint() as fake:
        from llava_video.records.question_types import SLUGS

        result = run_quietly(videos, recipe_for(fake, ask__types=list(SLUGS)), out)
    assert result.stopped_by is None
    return out


@pytest.fixture(scope="session")
def tokenizer_folder(tmp_path_factory):
    """A folder with a byte-level tokenizer, made from a few sentences."""
    tokenizer = Tokenizer(BPE())
    tokenizer.pre_tokenizer = ByteLevel(add_prefix_space=False)
    tokenizer.decoder = ByteLevelDecoder()
    trainer = BpeTrainer(vocab_size=400, initial_alphabet=ByteLevel.alphabet(), show_progress=False)
    tokenizer.train_from_iterator(["the dog runs past the red ladder"] * 9, trainer)
    folder = tmp_path_factory.mktemp("tokenizer")
    tokenizer.save(str(folder / "tokenizer.json"))
    return folder
