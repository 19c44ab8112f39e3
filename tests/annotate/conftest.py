"""What several tests of the data engine share."""

import pytest

from tests.annotate.fake_endpoint import FakeEndpoint
from tests.annotate.running import recipe_for, run_quietly
from tests.annotate.videos import write_video


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
        from llava_video.annotate.question_types import SLUGS

        result = run_quietly(videos, recipe_for(fake, ask__types=list(SLUGS)), out)
    assert result.stopped_by is None
    return out
