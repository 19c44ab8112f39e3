"""`/v1/models`, `/health`, `/ready` and `/metrics`."""

from prometheus_client.parser import text_string_to_metric_families

from tests.serve.server import Served, eventually, video_url


def values_of(server: Served) -> dict[str, float]:
    text = server.http.get("/metrics").text
    return {
        sample.name.removeprefix("llava_video:") + "".join(sorted(sample.labels.values())): (
            sample.value
        )
        for family in text_string_to_metric_families(text)
        for sample in family.samples
        if not sample.name.endswith("_bucket")
    }


def test_the_model_is_listed(server: Served) -> None:
    (model,) = server.client.models.list().data
    assert (model.id, model.object) == ("tiny", "model")
    assert server.client.models.retrieve("tiny").id == "tiny"
    assert server.http.get("/v1/models/other").json()["error"]["code"] == "model_not_found"


def test_health_and_readiness(server: Served) -> None:
    assert server.http.get("/health").text == "ok"
    assert eventually(lambda: server.http.get("/ready").status_code == 200)


def test_metrics_add_up(server: Served) -> None:
    server.ask(video_url("two_movers.mp4"), "What?")
    before = values_of(server)
    usages = [server.ask(video_url("two_movers.mp4"), q, max_tokens=5).usage for q in ("A?", "B?")]
    after = values_of(server)
    grown = {name: value - before.get(name, 0.0) for name, value in after.items()}
    assert grown["prompt_tokens_total"] == sum(usage.prompt_tokens for usage in usages)
    assert grown["generation_tokens_total"] == sum(usage.completion_tokens for usage in usages)
    cached = sum(usage.prompt_tokens_details.cached_tokens for usage in usages)
    assert grown["prefix_cache_hits_total"] == cached > 0
    assert grown["mm_cache_queries_total"] == grown["mm_cache_hits_total"] == 24
    assert grown["frames_decoded_total"] == 0
    assert grown["time_to_first_token_seconds_count"] == 2
    assert grown["http_responses_total/v1/chat/completions200"] == 2
    assert after["num_requests_running"] == after["num_requests_waiting"] == 0
    refused = {"http_responses_total/v1/chat/completions400": 1.0}
    server.post("Hello", n=0)
    assert (
        values_of(server).items()
        >= {name: before.get(name, 0.0) + value for name, value in refused.items()}.items()
    )
