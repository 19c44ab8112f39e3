"""``llava-video frames`` prints what ``read_video`` sees."""

import json

import numpy as np
import pytest
import typer
from PIL import Image
from typer.testing import CliRunner

from llava_video.cli.frames import command
from llava_video.errors import InputError, VideoError
from llava_video.video import read_video
from llava_video.video.contact_sheet import draw_contact_sheet
from tests.video.media import write_video

app = typer.Typer()
app.command()(command)


def run(*arguments: str):
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


def test_json_reports_the_frames(tmp_path):
    video = write_video(tmp_path / "video.mp4", num_frames=50)
    result = json.loads(run(video, "--num-frames", 5, "--json").stdout)
    frames = read_video(video, num_frames=5)
    assert result["num_frames"] == 5
    assert result["indices"] == frames.indices.tolist()
    assert result["timestamps_seconds"] == pytest.approx(frames.timestamps_seconds.tolist())
    assert (result["width"], result["height"]) == (frames.width, frames.height)
    assert (result["duration_seconds"], result["warnings"]) == (2.0, [])


def test_lines_tell_every_frame_and_its_time(tmp_path):
    video = write_video(tmp_path / "video.mp4", num_frames=50)
    lines = run(video, "--fps", 5).stdout
    assert "10 frames of 96 x 64 pixels from 2.00 s" in lines
    assert lines.count(" s") >= 10
    assert "1.80 s" in lines


def test_a_damaged_file_shows_what_is_read(tmp_path):
    video = write_video(tmp_path / "video.ts", num_frames=50, options={"g": "10"})
    data = video.read_bytes()
    middle = len(data) // 188 // 2 * 188
    video.write_bytes(data[:middle] + data[middle + 3 * 188 :])
    result = json.loads(run(video, "--num-frames", 20, "--json").stdout)
    frames = read_video(video, num_frames=20)
    assert result["warnings"] == list(frames.warnings) != []
    assert result["indices"] == frames.indices.tolist()


def test_the_contact_sheet_is_a_picture_with_a_thumbnail_per_frame(tmp_path):
    video = write_video(tmp_path / "video.mp4", num_frames=50)
    small, large = tmp_path / "small.png", tmp_path / "large.png"
    run(video, "--num-frames", 8, "--contact-sheet", small)
    run(video, "--num-frames", 16, "--contact-sheet", large)
    with Image.open(small) as one, Image.open(large) as two:
        assert one.width == two.width
        assert two.height - 8 == 2 * (one.height - 8)


def test_the_contact_sheet_shows_the_thumbnails_of_the_pictures(tmp_path):
    video = write_video(tmp_path / "video.mp4", num_frames=10, options={"qp": "4"})
    sheet = tmp_path / "sheet.png"
    assert run(video, "--num-frames", 3, "--contact-sheet", sheet).exit_code == 0
    with Image.open(sheet) as drawn:
        expected = draw_contact_sheet(read_video(video, num_frames=3, size=(128, 192)))
        assert np.array_equal(np.asarray(drawn), np.asarray(expected))


def test_bad_input_is_an_error_for_the_user(tmp_path):
    assert isinstance(run(tmp_path / "none.mp4").exception, VideoError)
    video = write_video(tmp_path / "video.mp4", num_frames=5)
    assert isinstance(run(video, "--num-frames", 0).exception, InputError)
    assert isinstance(run(video, "--contact-sheet", tmp_path / "a.txt").exception, InputError)
    many = run(video, "--num-frames", 1200, "--contact-sheet", tmp_path / "a.webp")
    assert isinstance(many.exception, InputError)
    assert "take fewer frames, or .png" in str(many.exception)
