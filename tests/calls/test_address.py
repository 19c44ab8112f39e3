"""Addresses of endpoints, however they are written: the key goes to that host and no other."""

import asyncio

import pytest

from llava_video.calls.address import read_address, read_headers
from llava_video.calls.annotator import AttemptError
from llava_video.calls.endpoint import Endpoint
from llava_video.calls.make_annotator import check_endpoint
from llava_video.calls.messages import Request
from llava_video.calls.openai_endpoint import OpenAIEndpoint
from llava_video.errors import EndpointError, InputError
from tests.annotate.fake_endpoint import Failure, FakeEndpoint

REQUEST = Request("level2", "v", "m", "p@1", "system", ("text",), (), 100)


def ask(settings):
    async def main():
        endpoint = OpenAIEndpoint(settings)
        try:
            return await endpoint.complete(REQUEST, "k")
        finally:
            await endpoint.aclose()

    return asyncio.run(main())


@pytest.mark.parametrize(
    ("text", "url"),
    [
        ("http://127.0.0.1:8104", "http://127.0.0.1:8104/v1/chat/completions"),
        ("http://127.0.0.1:8104/", "http://127.0.0.1:8104/v1/chat/completions"),
        ("https://host", "https://host/v1/chat/completions"),
        ("https://host//", "https://host/v1/chat/completions"),
        ("HTTPS://host/v1///", "https://host/v1/chat/completions"),
        ("https://host/api//v1/", "https://host/api/v1/chat/completions"),
        ("https://host/v1/chat/completions", "https://host/v1/chat/completions"),
        ("https://host/v1/chat/completions/", "https://host/v1/chat/completions"),
        (" https://host/v1\n", "https://host/v1/chat/completions"),
        ("http://[::1]:8000", "http://[::1]:8000/v1/chat/completions"),
        ("https://r.openai.azure.com/openai/deployments/d?api-version=2024-10-21",
         "https://r.openai.azure.com/openai/deployments/d/chat/completions"),
    ],
)  # fmt: skip
def test_every_form_of_an_address(text, url):
    assert read_address(Endpoint(base_url=text)).completions == url


@pytest.mark.parametrize(
    "text",
    ["127.0.0.1:8104", "localhost:8000/v1", "host", "ftp://host", "http://", "http://host:port/v1",
     "http://host:99999", "https://", "http:///v1", "http://a b/v1", "https://host/v1#x",
     "https://user:secret@host/v1"],
)  # fmt: skip
def test_what_is_no_address_is_said_before_anything_is_sent(text, monkeypatch):
    monkeypatch.setenv("OPENAI_API_KEY", "sk-1")
    with pytest.raises(InputError, match="--base-url") as caught:
        check_endpoint(Endpoint(base_url=text))
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize("suffix", ["", "/", "//", "/v1", "/v1/", "/v1/chat/completions"])
def test_a_server_is_reached_by_every_form(suffix):
    with FakeEndpoint() as fake:
        ask(Endpoint(base_url=f"http://127.0.0.1:{fake.port}{suffix}"))
        assert fake.received[0].path == "/v1/chat/completions"


def test_query_headers_and_key_go_with_every_request(monkeypatch):
    monkeypatch.setenv("OPENAI_API_KEY", " sk-1\n")  # as a file of one line gives it
    monkeypatch.setenv("TENANT", "t-7")
    with FakeEndpoint() as fake:
        settings = Endpoint(
            base_url=f"http://127.0.0.1:{fake.port}/openai/deployments/d?a=1",
            query={"api-version": "2024-10-21"},
            headers={"X-Tenant": "${TENANT}", "X-Title": "my data"},
        )
        ask(settings)
        ask(settings.model_copy(update={"api_key_header": "api-key"}))
        one, other = fake.received
    assert one.path == "/openai/deployments/d/chat/completions?a=1&api-version=2024-10-21"
    assert one.headers["authorization"] == "Bearer sk-1"
    assert (one.headers["x-tenant"], one.headers["x-title"]) == ("t-7", "my data")
    assert other.headers["api-key"] == "sk-1"
    assert "authorization" not in other.headers


def test_azure_gets_the_key_in_its_own_header(monkeypatch):
    monkeypatch.setenv("OPENAI_API_KEY", "sk-1")
    settings = Endpoint(base_url="https://r.openai.azure.com/openai/v1")
    assert read_headers(settings, read_address(settings)) == {"api-key": "sk-1"}


@pytest.mark.parametrize("key", ["sk-1\nsk-2", "sk 1", "sk-\u00e9", "sk-1\r"[:4] + "\r2"])
def test_a_key_that_no_header_can_have_is_named(key, monkeypatch):
    monkeypatch.setenv("OPENAI_API_KEY", key)
    with pytest.raises(InputError, match=r"OPENAI_API_KEY: it holds .*; set it anew") as caught:
        check_endpoint(Endpoint(base_url="http://127.0.0.1:1/v1"))
    assert "sk" not in str(caught.value)


def test_a_variable_that_is_not_set_is_named():
    settings = Endpoint(base_url="http://127.0.0.1:1/v1", headers={"X-Org": "${NO_SUCH}"})
    with pytest.raises(InputError, match=r"endpoint.headers.X-Org: set NO_SUCH"):
        check_endpoint(settings)
    settings = Endpoint(base_url="http://127.0.0.1:1/v1", headers={"X Org": "1"})
    with pytest.raises(InputError, match="'X Org' cannot be the name of a header"):
        check_endpoint(settings)


def test_a_redirect_takes_the_key_nowhere(monkeypatch):
    monkeypatch.setenv("OPENAI_API_KEY", "sk-1")
    with FakeEndpoint() as other:
        moved = Failure(307, "moved", headers={"location": f"{other.url}/chat/completions"})
        with (
            FakeEndpoint(fail=lambda request: moved) as fake,
            pytest.raises(EndpointError, match=r"it moved to .* give that as --base-url"),
        ):
            ask(Endpoint(base_url=fake.url))
        assert other.num_requests == 0


@pytest.mark.parametrize("status", [400, 422])
def test_a_server_that_wants_the_older_field_of_the_limit_gets_it(status):
    def fail(request):
        if "max_completion_tokens" in request.body:
            return Failure(status, "Extra inputs are not permitted: max_completion_tokens")
        return None

    with FakeEndpoint(fail=fail) as fake:
        settings = Endpoint(base_url=fake.url)

        async def main():
            endpoint = OpenAIEndpoint(settings)
            for _ in range(2):
                await endpoint.complete(REQUEST, "k")
            await endpoint.aclose()

        asyncio.run(main())
        assert [sorted(k for k in r.body if k.startswith("max")) for r in fake.received] == [
            ["max_completion_tokens"],
            ["max_tokens"],
            ["max_tokens"],
        ]
        assert fake.received[-1].body["max_tokens"] == 100
        with pytest.raises(AttemptError, match="max_completion_tokens"):
            ask(Endpoint(base_url=fake.url, limit_field="max_completion_tokens"))
        for field in ("max_tokens", "none"):
            ask(Endpoint(base_url=fake.url, limit_field=field))
        assert not any(k.startswith("max") for k in fake.received[-1].body)


@pytest.mark.parametrize(
    "failure",
    [
        Failure(429, "no money left", code="insufficient_quota"),
        Failure(429, "no money left", kind="insufficient_quota"),
        Failure(raw='{"error": {"message": "no money left", "type": "insufficient_quota"}}'),
    ],
)
def test_an_exhausted_quota_ends_the_run_wherever_it_is_named(failure):
    with (
        FakeEndpoint(fail=lambda request: failure) as fake,
        pytest.raises(EndpointError, match="no money left; top up the account"),
    ):
        ask(Endpoint(base_url=fake.url))


@pytest.mark.parametrize(
    ("error", "is_transient"),
    [
        ('{"message": "the model is loading"}', True),
        ('{"message": "slow down", "code": 429}', True),
        ('{"message": "no such field", "code": 400}', False),
        ('{"message": "no such field", "type": "invalid_request_error"}', False),
    ],
)
def test_an_error_with_status_200_keeps_the_servers_words(error, is_transient):
    with (
        FakeEndpoint(fail=lambda request: Failure(raw=f'{{"error": {error}}}')) as fake,
        pytest.raises(AttemptError, match="answered 200 with an error: ") as caught,
    ):
        ask(Endpoint(base_url=fake.url))
    assert caught.value.is_transient is is_transient
