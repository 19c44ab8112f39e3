"""The same through inspect_ai's own command, which finds tasks and models by an entry point."""

import os
import subprocess
import sys
from pathlib import Path

from inspect_ai.log import list_eval_logs, read_eval_log

from tests.evaluate.runs import write_questions


def test_inspect_finds_tasks_and_models(tmp_path: Path) -> None:
    file = write_questions(tmp_path, num_videos=2, per_video=2)
    # As an installed package has it, however this one is installed.
    about = tmp_path / "path/found-1.0.dist-info"
    about.mkdir(parents=True)
    (about / "METADATA").write_text("Metadata-Version: 2.1\nName: found\nVersion: 1.0\n")
    (about / "entry_points.txt").write_text(
        "[inspect_ai]\nllava_video = llava_video.evaluate.harness.registry\n"
    )
    paths = [str(about.parent), *(p for p in sys.path if p)]
    words = [
        *("llava_video/own", "--model", "llava_video/tiny", "-M", "device=cpu"),
        *("-T", f"annotations={file}", "--no-log-images", "--display", "none"),
        *("--log-dir", str(tmp_path / "logs")),
    ]
    done = subprocess.run(
        [sys.executable, "-m", "inspect_ai", "eval", *words],
        env=os.environ | {"PYTHONPATH": os.pathsep.join(paths)},
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    [info] = list_eval_logs(str(tmp_path / "logs"))
    log = read_eval_log(info)
    assert log.status == "success"
    assert log.eval.task == "own"
    assert len(log.samples) == 4
    frames = [sample.output.metadata["videos"][0]["num_tokens"] for sample in log.samples]
    assert frames == [96] * 4
