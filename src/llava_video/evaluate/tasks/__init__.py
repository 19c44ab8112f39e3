"""The benchmarks, one module each."""

from __future__ import annotations

from llava_video.errors import InputError
from llava_video.evaluate.tasks.activitynetqa import ACTIVITYNETQA
from llava_video.evaluate.tasks.benchmark import Benchmark
from llava_video.evaluate.tasks.egoschema import EGOSCHEMA, EGOSCHEMA_SUBSET
from llava_video.evaluate.tasks.longvideobench import LONGVIDEOBENCH
from llava_video.evaluate.tasks.mlvu import MLVU
from llava_video.evaluate.tasks.mvbench import MVBENCH
from llava_video.evaluate.tasks.nextqa import NEXTQA, NEXTQA_OPEN
from llava_video.evaluate.tasks.own import OWN
from llava_video.evaluate.tasks.perceptiontest import PERCEPTIONTEST
from llava_video.evaluate.tasks.tempcompass import TEMPCOMPASS, TEMPCOMPASS_CAPTIONING
from llava_video.evaluate.tasks.toyworld import TOYWORLD, TOYWORLD_FOLLOW_UPS, TOYWORLD_NOISE
from llava_video.evaluate.tasks.videodetailcaption import VIDEODETAILCAPTION
from llava_video.evaluate.tasks.videomme import VIDEOMME, VIDEOMME_SUBTITLES
from llava_video.recipes import nearest

BENCHMARKS: dict[str, Benchmark] = {
    benchmark.name: benchmark
    for benchmark in (
        NEXTQA,
        NEXTQA_OPEN,
        PERCEPTIONTEST,
        EGOSCHEMA,
        EGOSCHEMA_SUBSET,
        VIDEOMME,
        VIDEOMME_SUBTITLES,
        ACTIVITYNETQA,
        MVBENCH,
        MLVU,
        LONGVIDEOBENCH,
        TEMPCOMPASS,
        TEMPCOMPASS_CAPTIONING,
        VIDEODETAILCAPTION,
        TOYWORLD,
        TOYWORLD_FOLLOW_UPS,
        TOYWORLD_NOISE,
        OWN,
    )
}


def find_benchmark(name: str) -> Benchmark:
    """A benchmark by name.

    Raises:
        InputError: there is none.
    """
    if name not in BENCHMARKS:
        raise InputError(f"there is no task {name!r}{nearest(name, BENCHMARKS)}")
    return BENCHMARKS[name]
