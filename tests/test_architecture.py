"""The limits of docs/architecture.md: small files and rooms, no import circle, tests for all."""

import ast
import functools
from pathlib import Path

import grimp
import pytest

ROOT = Path(__file__).parents[1]
SOURCE = ROOT / "src"
PACKAGE = SOURCE / "llava_video"
TESTS = ROOT / "tests"
MAX_FILE_LINES = 450
MAX_FUNCTION_LINES = 85
MAX_MODULES_PER_FOLDER = 15

COVERED_BY = {
    "annotate/decisions.py": "annotate/review/test_server.py",
    "annotate/engines/local.py": "annotate/test_run.py",
    "annotate/export/card.py": "annotate/export/test_conversations.py",
    "annotate/export/formats.py": "annotate/export/test_conversations.py",
    "annotate/forecast/calibration.py": "annotate/forecast/test_forecast.py",
    "annotate/records.py": "annotate/videos/test_select.py",
    "annotate/review/reviewed.py": "annotate/review/test_server.py",
    "annotate/steps/ask.py": "annotate/test_unusable_answers.py",
    "annotate/steps/context.py": "annotate/test_batch.py",
    "annotate/steps/decontaminate.py": "annotate/steps/test_filter.py",
    "annotate/videos/frames.py": "annotate/videos/test_select.py",
    "annotate/views/compare_history.py": "annotate/views/test_report.py",
    "annotate/views/explain.py": "annotate/views/test_report.py",
    "budget/units.py": "budget/test_planner.py",
    "calls/annotator.py": "calls/test_rate_limit.py",
    "calls/endpoint.py": "calls/test_caller.py",
    "calls/make_annotator.py": "annotate/views/test_report.py",
    "calls/messages.py": "calls/test_caller.py",
    "chat/keep/host.py": "chat/keep/test_client.py",
    "chat/keep/process.py": "chat/keep/test_client.py",
    "chat/keep/status.py": "chat/keep/test_start.py",
    "chat/local/generation.py": "chat/test_local_model.py",
    "chat/local/limits.py": "chat/test_local_model.py",
    "chat/local/media.py": "chat/test_local_model.py",
    "chat/local/rows.py": "chat/local/test_prefill.py",
    "chat/local/stopwatch.py": "chat/test_local_model.py",
    "chat/local/vision.py": "chat/test_local_model.py",
    "chat/protocol.py": "chat/test_answer.py",
    "chat/model_request.py": "chat/keep/test_client.py",
    "chat/session_file.py": "chat/test_session.py",
    "chat/transcript.py": "chat/test_session.py",
    "checkpoints/files/json_files.py": "checkpoints/files/test_side_files.py",
    "checkpoints/files/pickles.py": "checkpoints/test_diagnosis.py",
    "calls/openai_endpoint.py": "calls/test_address.py",
    "calls/totals.py": "annotate/engines/test_progress.py",
    "checkpoints/known_models.py": "budget/test_expectations.py",
    "checkpoints/layouts.py": "checkpoints/test_convert.py",
    "cli/answering/influence_text.py": "cli/answering/test_ask.py",
    "cli/answering/one_answer.py": "cli/answering/test_ask.py",
    "cli/answering/options.py": "cli/answering/test_ask.py",
    "cli/answering/terminal.py": "cli/answering/test_chat.py",
    "cli/models.py": "budget/test_expectations.py",
    "cli/eval/common.py": "cli/eval/test_run.py",
    "cli/eval/compare.py": "cli/eval/test_run.py",
    "cli/eval/rescore.py": "cli/eval/test_run.py",
    "cli/eval/tables.py": "cli/eval/test_run.py",
    "cli/merge.py": "train/test_run.py",
    "cli/presets.py": "cli/test_tokens.py",
    "cli/serving/options.py": "cli/serving/test_serve.py",
    "cli/startup.py": "cli/answering/test_ask.py",
    "cli/train.py": "train/test_run.py",
    "errors.py": "cli/test_frames.py",
    "evaluate/annotations/question.py": "evaluate/tasks/test_prompts.py",
    "evaluate/asked.py": "evaluate/test_run.py",
    "evaluate/compare.py": "cli/eval/test_run.py",
    "evaluate/doctor.py": "cli/eval/test_doctor.py",
    "evaluate/extraction/lmms_eval.py": "evaluate/extraction/test_extractors.py",
    "evaluate/extraction/vlmevalkit.py": "evaluate/extraction/test_extractors.py",
    "evaluate/harness/build.py": "evaluate/test_run.py",
    "evaluate/harness/judge_provider.py": "evaluate/harness/test_judge.py",
    "evaluate/harness/models.py": "evaluate/harness/test_provider.py",
    "evaluate/harness/read_log.py": "evaluate/test_run.py",
    "evaluate/harness/scorer.py": "evaluate/test_run.py",
    "evaluate/harness/solvers.py": "evaluate/test_run.py",
    "evaluate/interval_plot.py": "evaluate/test_tables.py",
    "evaluate/report.py": "cli/eval/test_run.py",
    "evaluate/rescore.py": "cli/eval/test_run.py",
    "evaluate/scoring/outcomes.py": "evaluate/test_run.py",
    "evaluate/scoring/power.py": "evaluate/scoring/test_scores.py",
    "evaluate/scoring/results.py": "evaluate/test_run.py",
    "evaluate/scoring/verdicts.py": "evaluate/test_run.py",
    "evaluate/scoring/wordnet.py": "evaluate/scoring/test_wups.py",
    "evaluate/source.py": "evaluate/test_run.py",
    "evaluate/table_recipe.py": "evaluate/test_tables.py",
    "evaluate/tasks/activitynetqa.py": "evaluate/tasks/test_prompts.py",
    "evaluate/tasks/benchmark.py": "evaluate/tasks/test_prompts.py",
    "evaluate/tasks/egoschema.py": "evaluate/tasks/test_prompts.py",
    "evaluate/tasks/longvideobench.py": "evaluate/tasks/test_prompts.py",
    "evaluate/tasks/mlvu.py": "evaluate/tasks/test_prompts.py",
    "evaluate/tasks/mvbench.py": "evaluate/tasks/test_prompts.py",
    "evaluate/tasks/nextqa.py": "evaluate/tasks/test_prompts.py",
    "evaluate/tasks/own.py": "evaluate/tasks/test_prompts.py",
    "evaluate/tasks/perceptiontest.py": "evaluate/tasks/test_prompts.py",
    "evaluate/tasks/tempcompass.py": "evaluate/tasks/test_prompts.py",
    "evaluate/tasks/toyworld.py": "evaluate/tasks/test_prompts.py",
    "evaluate/tasks/videodetailcaption.py": "evaluate/tasks/test_prompts.py",
    "evaluate/tasks/videomme.py": "evaluate/tasks/test_prompts.py",
    "evaluate/thumbnails.py": "cli/eval/test_run.py",
    "model/configuration.py": "checkpoints/test_auto_config.py",
    "model/logits.py": "model/test_generation.py",
    "model/media_inputs.py": "model/test_generation.py",
    "model/outputs.py": "budget/test_latency.py",
    "model/pixels.py": "checkpoints/test_parity.py",
    "model/pretrained.py": "checkpoints/test_config_values.py",
    "model/projector.py": "model/test_modeling.py",
    "model/token_types.py": "model/test_modeling.py",
    "model/weight_names.py": "checkpoints/test_load.py",
    "pages/pictures.py": "chat/test_session_page.py",
    "plugins/vllm/defaults.py": "plugins/vllm/test_model.py",
    "plugins/vllm/engine_loop.py": "plugins/vllm/test_chat_model.py",
    "plugins/vllm/names.py": "plugins/vllm/test_register.py",
    "plugins/vllm/processing.py": "plugins/vllm/test_model.py",
    "plugins/vllm/renderer.py": "plugins/vllm/test_server.py",
    "plugins/vllm/requests.py": "plugins/vllm/test_chat_model.py",
    "plugins/vllm/served.py": "plugins/vllm/test_chat_model.py",
    "plugins/vllm/video_loader.py": "plugins/vllm/test_server.py",
    "processing/frames_folder.py": "processing/test_media.py",
    "processing/tiles.py": "model/test_images.py",
    "records/question_types.py": "annotate/steps/test_describe.py",
    "records/row_keys.py": "records/test_rows.py",
    "records/suffixes.py": "chat/test_media_files.py",
    "registration.py": "test_package.py",
    "representation/image_packing.py": "representation/test_image_layout.py",
    "representation/pooling.py": "representation/test_packing.py",
    "representation/presets.py": "representation/test_layout.py",
    "representation/tape.py": "cli/test_tokens.py",
    "representation/video_representation.py": "representation/test_layout.py",
    "serve/api/answers.py": "serve/api/test_completions.py",
    "serve/api/files.py": "serve/test_files.py",
    "serve/engine/queue.py": "serve/engine/test_engine.py",
    "serve/media_reader.py": "serve/api/test_completions.py",
    "serve/media/data_urls.py": "serve/media/test_guard.py",
    "serve/media/decoder.py": "serve/media/test_decoders.py",
    "serve/media/forkserver.py": "serve/media/test_decoders.py",
    "serve/media/limits.py": "serve/media/test_guard.py",
    "serve/media/paths.py": "serve/media/test_guard.py",
    "serve/media/wire.py": "serve/media/test_results.py",
    "serve/metrics.py": "serve/api/test_status.py",
    "serve/own_folder.py": "serve/test_app.py",
    "serve/page/about.py": "serve/page/test_routes.py",
    "serve/page/conversation.py": "serve/page/test_routes.py",
    "serve/page/preview.py": "serve/page/test_routes.py",
    "serve/page/requests.py": "serve/page/test_routes.py",
    "tiny/accuracy.py": "tiny/test_tables.py",
    "tiny/conversations.py": "tiny/test_batches.py",
    "tiny/feature_cache.py": "tiny/test_batches.py",
    "toyworld/draw/noise_clips.py": "toyworld/test_noise_dataset.py",
    "tiny/objectives.py": "tiny/test_batches.py",
    "toyworld/captions/simple.py": "toyworld/captions/test_captions.py",
    "toyworld/captions/wordings.py": "toyworld/captions/test_captions.py",
    "toyworld/draw/backgrounds.py": "toyworld/draw/test_render.py",
    "toyworld/draw/shapes.py": "toyworld/draw/test_render.py",
    "toyworld/draw/sheet.py": "cli/test_toyworld.py",
    "toyworld/draw/sprites.py": "toyworld/draw/test_render.py",
    "toyworld/entry.py": "toyworld/test_script.py",
    "toyworld/generate/floor.py": "toyworld/generate/test_director.py",
    "toyworld/generate/pieces.py": "toyworld/generate/test_director.py",
    "toyworld/generate/soloist.py": "toyworld/generate/test_director.py",
    "toyworld/questions/appearance.py": "toyworld/questions/test_question.py",
    "toyworld/questions/attribute_changes.py": "toyworld/questions/test_question.py",
    "toyworld/questions/distractors.py": "toyworld/questions/test_question.py",
    "toyworld/questions/events.py": "toyworld/questions/test_question.py",
    "toyworld/questions/motion.py": "toyworld/questions/test_question.py",
    "toyworld/questions/registry.py": "toyworld/questions/test_question.py",
    "toyworld/questions/simple.py": "toyworld/questions/test_question.py",
    "toyworld/story.py": "toyworld/verify/test_detectors.py",
    "toyworld/verify/observer.py": "toyworld/verify/test_checker.py",
    "toyworld/verify/solver.py": "toyworld/verify/test_checker.py",
    "toyworld/words.py": "toyworld/draw/test_render.py",
    "train/adapters.py": "train/test_run.py",
    "train/attention.py": "train/data/test_encode.py",
    "train/data/lengths.py": "train/data/test_webdataset.py",
    "train/plan.py": "train/test_memory.py",
    "train/predictions.py": "train/test_report.py",
    "video/album.py": "video/test_pictures.py",
    "video/contact_sheet.py": "cli/test_frames.py",
    "video/decoding.py": "video/test_exactness.py",
    "video/in_order.py": "video/test_exactness.py",
    "video/opening.py": "video/test_hostile.py",
    "video/picture.py": "video/test_pictures.py",
    "video/planning.py": "video/test_exactness.py",
    "video/reading.py": "video/test_exactness.py",
    "video/start.py": "video/test_claims.py",
    "serve/services.py": "serve/test_app.py",
    "serve/settings.py": "serve/test_app.py",
    "web/app.py": "web/test_run.py",
    "web/errors.py": "web/test_run.py",
    "web/middleware.py": "serve/test_app.py",
    "web/static.py": "serve/page/test_routes.py",
}
"""Modules without a test of their own path, and the test that runs them."""

PYTHON_FILES = [
    path
    for name in ("src", "tests", "benchmarks", "examples", "docs")
    for path in (ROOT / name).rglob("*.py")
]
MODULES = sorted(
    path.relative_to(PACKAGE).as_posix()
    for path in PACKAGE.rglob("*.py")
    if path.name not in ("__init__.py", "__main__.py")
)


def _own_test(module: str) -> str:
    path = Path(module)
    return (path.parent / f"test_{path.name}").as_posix()


def test_files_are_short() -> None:
    lengths = {path: len(path.read_text(encoding="utf-8").splitlines()) for path in PYTHON_FILES}
    assert {path: length for path, length in lengths.items() if length > MAX_FILE_LINES} == {}


def test_functions_are_short() -> None:
    lengths = {
        f"{path}: {node.name}": (node.end_lineno or 0) - node.lineno + 1
        for path in PYTHON_FILES
        for node in ast.walk(_parse(path))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
    }
    assert {name: length for name, length in lengths.items() if length > MAX_FUNCTION_LINES} == {}


def test_folders_are_small() -> None:
    folders: dict[Path, int] = {}
    for path in PYTHON_FILES:
        folders[path.parent] = folders.get(path.parent, 0) + (path.name != "__init__.py")
    assert {f: number for f, number in folders.items() if number > MAX_MODULES_PER_FOLDER} == {}


def test_no_module_imports_itself_through_others() -> None:
    graph = grimp.build_graph("llava_video", exclude_type_checking_imports=True, cache_dir=None)
    circles = [
        (importer, imported)
        for importer in graph.modules
        for imported in graph.find_modules_directly_imported_by(importer)
        if graph.chain_exists(importer=imported, imported=importer)
    ]
    assert circles == []


@pytest.mark.parametrize("module", MODULES)
def test_every_module_has_a_test_or_is_covered_by_another(module: str) -> None:
    has_own = (TESTS / _own_test(module)).is_file()
    assert has_own != (module in COVERED_BY), "a test of its own path, or an entry in COVERED_BY"


@pytest.mark.parametrize("module", sorted(COVERED_BY))
def test_a_module_is_imported_by_the_test_that_covers_it(module: str) -> None:
    assert module in MODULES
    covering = TESTS / COVERED_BY[module]
    assert covering.is_file()
    assert PACKAGE / module in _reached_from(covering)


def _reached_from(start: Path) -> set[Path]:
    """Files that a file imports, directly or through others, also inside functions."""
    reached: set[Path] = set()
    waiting = [start]
    while waiting:
        for path in _imports_of(waiting.pop()) - reached:
            reached.add(path)
            waiting.append(path)
    return reached


@functools.cache
def _imports_of(path: Path) -> frozenset[Path]:
    names: set[str] = set()
    for node in ast.walk(_parse(path)):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            names |= {node.module} | {f"{node.module}.{alias.name}" for alias in node.names}
    # A module brings the __init__.py of each package that it is in.
    names |= {name.rsplit(".", n)[0] for name in names for n in range(1, name.count(".") + 1)}
    found = (_file_of(name) for name in names if name.split(".")[0] in ("llava_video", "tests"))
    return frozenset(file for file in found if file is not None)


def _file_of(name: str) -> Path | None:
    base = (SOURCE if name.startswith("llava_video") else ROOT) / name.replace(".", "/")
    return next((p for p in (base.with_suffix(".py"), base / "__init__.py") if p.is_file()), None)


@functools.cache
def _parse(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"))
