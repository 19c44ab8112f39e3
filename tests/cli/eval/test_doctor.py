"""``eval doctor``: what is wrong with files, before a model is loaded."""

import json
from pathlib import Path

from tests.cli.run import Shell
from tests.evaluate.runs import write_questions


def test_it_finds_what_would_be_lost(shell: Shell, tmp_path: Path) -> None:
    file = write_questions(tmp_path, num_videos=5, per_video=2)
    rows = json.loads(file.read_text())
    rows.append({"id": "broken", "video": "v0.mp4", "question": "", "answer": "x"})
    file.write_text(json.dumps(rows))
    (tmp_path / "v1.mp4").unlink()
    (tmp_path / "v2.mp4").write_bytes(b"\0" * 100)
    (tmp_path / "v3.mp4").unlink()
    (tmp_path / "v3").mkdir()
    (tmp_path / "unused.mp4").touch()
    found = shell("eval", "doctor", "own", "--annotations", file, "--json")
    assert found.code == 1
    [diagnosis] = json.loads(found.out)
    assert diagnosis["num_questions"] == 10
    assert diagnosis["num_lost"] == 6
    assert len(diagnosis["broken_rows"]) == 1
    missing = " ".join(diagnosis["missing"])
    assert "v1.mp4: no such video" in missing
    assert "a folder of pictures" in missing
    assert "v2.mp4" in diagnosis["unreadable"][0]
    assert [Path(path).name for path in diagnosis["unused"]] == ["unused.mp4"]


def test_nothing_wrong_is_said_in_one_line(shell: Shell, tmp_path: Path) -> None:
    file = write_questions(tmp_path, num_videos=2, per_video=2)
    found = shell("eval", "doctor", "own", "--annotations", file)
    assert found.out == "own: 4 questions about 2 videos; 0 questions lost\n"


def test_it_lists_the_tasks(shell: Shell) -> None:
    out = shell("eval", "doctor", "--list").out
    for name in ("nextqa", "perceptiontest", "egoschema", "videomme", "mvbench", "own"):
        assert name in out
