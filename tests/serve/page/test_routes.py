"""The page's routes: static files by name, strict requests, and nothing without a key."""

from pathlib import Path
from typing import Any

import pytest

from llava_video.representation import make_layout
from llava_video.serve.engine.served import ServedCheckpoint, load_served
from llava_video.serve.page.about import describe_server
from llava_video.serve.page.routes import FOLDER, router
from llava_video.serve.settings import EngineLimits
from tests.serve.server import FOUR_SHAPES, Served, serving

POSTS = ("/v1/videos/preview", "/v1/influence", "/v1/conversation/page")


def upload(server: Served, file: Path = FOUR_SHAPES) -> str:
    sent = server.http.post("/v1/files", files={"file": (file.name, file.read_bytes())})
    return str(sent.json()["id"])


def influence(file_id: str, **fields: Any) -> dict[str, Any]:
    content = [
        {"type": "file", "file": {"file_id": file_id}},
        {"type": "text", "text": "How many shapes are there?"},
    ]
    return {"messages": [{"role": "user", "content": content}], "answer": "4", **fields}


def turn(**fields: Any) -> dict[str, Any]:
    return {"question": "How many?", "answer": "4", **fields}


def usage(preview: dict[str, Any], **changes: Any) -> dict[str, Any]:
    names = ("duration_seconds", "timestamps_seconds", "representation")
    video = {name: preview[name] for name in names}
    return {
        "prompt_tokens": 1,
        "completion_tokens": 1,
        "frames_decoded": 0,
        "frames_encoded": 0,
        "tokens_prefilled": 0,
        "video": {**video, "num_tokens": preview["num_video_tokens"], **changes},
    }


def test_the_page_runs_nothing_inline_and_loads_nothing_from_elsewhere(server: Served) -> None:
    page = server.http.get("/")
    policy = page.headers["content-security-policy"]
    assert page.headers["content-type"] == "text/html; charset=utf-8"
    assert "default-src 'none'" in policy
    assert "unsafe" not in policy
    assert "http" not in policy
    assert "style=" not in page.text
    assert "onclick" not in page.text
    for name in (path.name for path in FOLDER.iterdir()):
        sent = server.http.get(f"/static/{name}")
        assert sent.status_code == 200
        assert "//" not in sent.text.replace("http://www.w3.org/2000/svg", "").replace("// ", "")


def test_a_link_on_another_site_opens_the_page_and_nothing_embeds_it(server: Served) -> None:
    foreign = {"sec-fetch-site": "cross-site", "sec-fetch-mode": "navigate"}
    opened = server.http.get("/", headers={**foreign, "sec-fetch-dest": "document"})
    assert opened.status_code == 200
    for dest in ("iframe", "video", "script", "empty"):
        embedded = server.http.get("/", headers={**foreign, "sec-fetch-dest": dest})
        assert embedded.status_code == 403


def test_a_file_is_sent_again_only_when_it_is_another(server: Served) -> None:
    tag = server.http.get("/static/main.js").headers["etag"]
    again = server.http.get("/static/main.js", headers={"if-none-match": tag})
    assert (again.status_code, again.content) == (304, b"")
    assert server.http.get("/static/main.js", headers={"if-none-match": '"x"'}).status_code == 200


@pytest.mark.parametrize("name", ["../routes.py", "..%2froutes.py", "none.js", "samples", "%00"])
def test_no_other_file_is_served(server: Served, name: str) -> None:
    assert server.http.get(f"/static/{name}").status_code == 404
    assert server.http.get(f"/static/samples/{name}").status_code == 404


def test_tiny_is_called_what_it_is_under_another_name(server: Served) -> None:
    renamed = load_served("tiny", alias="gpt")
    said = describe_server(renamed, server.services.settings.requests)
    assert said["model"] == "gpt"
    assert said["notice"] == server.http.get("/v1/page").json()["notice"]
    assert "knows only toyworld" in said["notice"]


def test_a_sample_comes_in_ranges(server: Served) -> None:
    part = server.http.get("/static/samples/four_shapes.mp4", headers={"range": "bytes=4-7"})
    assert (part.status_code, part.content) == (206, FOUR_SHAPES.read_bytes()[4:8])


def test_a_preview_is_what_the_question_takes(server: Served) -> None:
    file_id = upload(server)
    fields = {"representation": "6,64,2,2", "sampling": {"start": 1, "end": 5}}
    shown = server.http.post("/v1/videos/preview", json={"file_id": file_id, **fields}).json()
    part = {"type": "file", "file": {"file_id": file_id}}
    used = server.ask(part, "What moves?", extra_body=fields).usage.llava_video
    (video,) = used["videos"]
    same = ("duration_seconds", "timestamps_seconds", "representation", "frame_tokens", "slow")
    assert {name: shown[name] for name in same} == {name: video[name] for name in same}
    assert shown["num_video_tokens"] == video["num_tokens"]
    assert len(shown["thumbnails"]) == len(shown["timestamps_seconds"])
    assert used["frames_decoded"] == 0


def test_blocks_are_in_the_order_of_the_tokens(server: Served, tiny: ServedCheckpoint) -> None:
    fields = {"file_id": upload(server), "representation": "slowfast-llava"}
    shown = server.http.post("/v1/videos/preview", json=fields).json()
    layout = make_layout(tiny.fit_representation("slowfast-llava"), len(shown["slow"]))
    assert [(one["frame"], one["slow"], one["num_tokens"]) for one in shown["blocks"]] == [
        (block.frame, block.slow, block.num_tokens) for block in layout.blocks()
    ]


def test_influence_is_that_of_the_model(server: Served, tiny: ServedCheckpoint) -> None:
    file_id = upload(server)
    found = server.http.post("/v1/influence", json=influence(file_id, span_frames=3)).json()
    content = [
        {"type": "video", "video": str(FOUR_SHAPES)},
        {"type": "text", "text": "How many shapes are there?"},
    ]
    conversation = [{"role": "user", "content": content}]
    measured = server.run(lambda: tiny.influence(conversation, "4", span_frames=3).to_dict())
    assert found == measured


def test_a_conversation_page_is_checked_against_the_video(server: Served) -> None:
    file_id = upload(server)
    shown = server.http.post("/v1/videos/preview", json={"file_id": file_id}).json()
    body = {"file_id": file_id, "turns": [turn(usage=usage(shown))]}
    page = server.http.post("/v1/conversation/page", json=body)
    assert page.headers["content-type"].startswith("text/html")
    assert page.text.count("data:image/jpeg;base64,") == 12
    moved = usage(shown, timestamps_seconds=[t + 1 for t in shown["timestamps_seconds"]])
    body["turns"] = [turn(usage=moved)]
    assert server.http.post("/v1/conversation/page", json=body).status_code == 400
    body["turns"] = [turn(usage=usage(shown, num_tokens=number)) for number in range(9)]
    many = server.http.post("/v1/conversation/page", json=body)
    assert (many.status_code, "9 ways" in many.text) == (400, True)


@pytest.mark.parametrize(
    ("path", "body"),
    [
        (POSTS[0], {}),
        (POSTS[0], {"file_id": "FILE", "url": "data:video/mp4;base64,AA"}),
        (POSTS[0], {"file_id": "FILE", "thumbnail_height": 4000}),
        (POSTS[0], {"file_id": "FILE", "thumbnails": True}),
        (POSTS[0], {"file_id": "FILE", "sampling": {"start": 5, "end": 2}}),
        (POSTS[0], {"file_id": "FILE", "representation": "9999,64,1,1"}),
        (POSTS[0], {"url": "file:///etc/passwd"}),
        (POSTS[1], influence("FILE", span_frames=0)),
        (POSTS[1], influence("FILE", answer="")),
        (POSTS[1], influence("FILE") | {"messages": [{"role": "user", "content": "Hello"}]}),
        (POSTS[2], {"file_id": "FILE", "turns": []}),
        (POSTS[2], {"file_id": "FILE", "turns": [turn(answer=1)]}),
        (POSTS[2], {"file_id": "FILE", "turns": [turn(finish_reason="other")]}),
    ],
)
def test_what_is_no_request_is_refused(server: Served, path: str, body: dict[str, Any]) -> None:
    file_id = upload(server)
    text = server.http.build_request("POST", path, json=body).content.replace(
        b"FILE", file_id.encode()
    )
    sent = server.http.post(path, content=text, headers={"content-type": "application/json"})
    assert sent.status_code in (400, 403)
    assert str(server.services.files.get(file_id, "anyone").path) not in sent.text
    assert sent.json()["error"]["message"]


@pytest.mark.parametrize("path", POSTS)
def test_only_json_of_the_own_site_is_taken(server: Served, path: str) -> None:
    form = server.http.post(path, content="{}", headers={"content-type": "text/plain"})
    assert form.status_code == 415
    foreign = {"origin": "http://evil.example", "content-type": "application/json"}
    assert server.http.post(path, content="{}", headers=foreign).status_code == 403
    absent = {"file_id": "file-none"} | ({"turns": [turn()]} if "page" in path else {})
    if path != POSTS[1]:
        assert server.http.post(path, json=absent).status_code == 404


@pytest.mark.parametrize("path", POSTS)
def test_a_full_queue_takes_none(tiny: ServedCheckpoint, server: Served, path: str) -> None:
    file_id = upload(server)
    room = server.services.engine.room
    place = room.enter(EngineLimits().num_waiting)
    bodies = [{"file_id": file_id}, influence(file_id), {"file_id": file_id, "turns": [turn()]}]
    try:
        sent = server.http.post(path, json=bodies[POSTS.index(path)])
    finally:
        room.leave(place)
    assert sent.status_code == 429
    assert int(sent.headers["retry-after"]) >= 1


def test_only_the_page_and_its_files_need_no_key(tiny: ServedCheckpoint, tmp_path: Path) -> None:
    keys = tmp_path / "keys"
    keys.write_text("a-key-of-the-tests-0123456789\n")
    with serving(tiny, api_key_file=keys) as locked:
        for route in router.routes:
            (method,) = route.methods  # type: ignore[attr-defined]
            path = str(route.path).replace("{name}", "main.js")  # type: ignore[attr-defined]
            status = locked.http.request(method, path).status_code
            is_public = path == "/" or path.startswith("/static/")
            assert (status == 401) is not is_public, path
