"""The data engine: from videos to a filtered instruction dataset, by LLaVA-Video-178K's recipe.

    from pathlib import Path

    from llava_video.annotate.recipe import load_recipe
    from llava_video.annotate.run import run

    recipe = load_recipe("open", ["endpoint.base_url=http://127.0.0.1:8000/v1"])
    run(["videos/"], recipe, Path("out"))

One record per video flows through select, describe, ask, screen, check, compare and export. Every
paid call is committed to a ledger before its answer is used.
"""
