"""From a free text to the option it chooses.

One extractor is this project's (`llava_video.records.options.chosen_letter`); the others repeat the
rules of lmms-eval and VLMEvalKit, for comparison with figures published with them. All are
deterministic: where theirs guess at random, the answer counts as unparsed.
"""

from llava_video.evaluate.extraction.extractors import (
    EXTRACTORS,
    OWN,
    Extractor,
    extract_own,
    find_extractor,
)

__all__ = ["EXTRACTORS", "OWN", "Extractor", "extract_own", "find_extractor"]
