"""Review: decisions as an overlay, the server's manners, and the page in a real browser."""

import dataclasses
import json
import shutil
import socket
import struct
import urllib.error
import urllib.request

import pytest

from llava_video.annotate.decisions import (
    add_decision,
    agreements,
    id_of,
    parse_decision,
    read_decisions,
)
from llava_video.annotate.review.reviewed import Reviewed
from llava_video.annotate.review.server import make_review_app, make_server
from llava_video.annotate.run import export_run
from llava_video.annotate.run_folder import load_run
from llava_video.calls.ledger import open_ledger
from llava_video.errors import InputError
from llava_video.web.run import running
from tests.browser import headless


@pytest.fixture
def run_folder(finished, tmp_path):
    """A copy of the finished run, to decide about."""
    return shutil.copytree(finished, tmp_path / "run")


def decide(folder, reviewer, qa_id, verdict, **texts):
    """As the page does, which knows the call that the question came from."""
    if (folder / "run.json").is_file():
        records = load_run(folder).records
        items = {id_of(item): item for r in records for item in (*r.qas, *r.captions)}
        texts = {"call_key": items[qa_id].provenance.call_key} | texts
    decision = {"qa_id": qa_id, "reviewer": reviewer, "verdict": verdict, **texts}
    add_decision(folder, parse_decision(decision))


def test_export_honours_what_reviewers_decided(run_folder, tmp_path):
    decide(run_folder, "ann", "v0/oe/temporal", "reject")
    decide(run_folder, "ann", "v0/mc/count", "edit", question="How many?", answer="Nine.")
    decide(run_folder, "bob", "v0/oe/count", "reject")
    decide(run_folder, "bob", "v0/oe/count", "undo")
    run = load_run(run_folder)
    export_run(run, "jsonl", tmp_path / "out", open_ledger(run_folder))
    text = (tmp_path / "out" / "open_ended.jsonl").read_text().splitlines()[0]
    by_id = {qa.qa_id: qa for qa in run.records[0].qas}
    assert by_id["v0/oe/temporal"].question not in text
    assert by_id["v0/oe/count"].question in text
    turns = json.loads((tmp_path / "out" / "multi_choice.jsonl").read_text().splitlines()[0])
    [question] = [t for t in turns["conversations"] if t["value"].startswith("How many?")]
    assert "Nine." in question["value"]
    letters = [qa.letter for record in run.reviewed() for qa in record.qas if qa.options]
    assert max(map(letters.count, "ABCD")) - min(map(letters.count, "ABCD")) <= 1


def test_descriptions_are_accepted_edited_and_rejected(run_folder, tmp_path):
    def texts():
        run = load_run(run_folder)
        export_run(run, "jsonl", tmp_path / "out", open_ledger(run_folder))
        rows = map(json.loads, (tmp_path / "out" / "caption.jsonl").read_text().splitlines())
        return {row["id"]: row["conversations"][1]["value"] for row in rows}

    before = texts()
    decide(run_folder, "ann", "v0/L3/000", "accept")
    decide(run_folder, "ann", "v1/L3/000", "edit", text="A man\nwalks in.")
    decide(run_folder, "bob", "v2/L3/000", "reject")
    assert texts() == {"v0": before["v0"], "v1": "A man walks in."}
    [_, _, record] = load_run(run_folder).reviewed()
    assert len(record.qas) > 0  # questions of a rejected description stay
    assert ("v2/L3/000", "review", "bob") in {
        (r.subject_id, r.stage, r.detail) for r in record.rejections
    }
    decide(run_folder, "bob", "v2/L3/000", "undo")
    assert texts() == {**before, "v1": "A man walks in."}


def test_decisions_hold_for_the_very_question_that_was_seen(run_folder):
    decide(run_folder, "ann", "v0/oe/count", "reject", call_key="of an earlier model")
    decide(run_folder, "ann", "v0/oe/temporal", "reject")
    [record, *_] = load_run(run_folder).reviewed()
    kept = {qa.qa_id for qa in record.qas}
    assert "v0/oe/count" in kept
    assert "v0/oe/temporal" not in kept


def test_any_character_may_stand_in_an_edit(run_folder):
    answer = "Nine\u2028or\x85ten."
    decide(run_folder, "ann", "v0/oe/count", "edit", question="How many?", answer=answer)
    [record, *_] = load_run(run_folder).reviewed()
    assert answer in {qa.answer for qa in record.qas}


def test_agreement_of_two_reviewers(tmp_path):
    (tmp_path / "review").mkdir()
    verdicts = {"q1": "aa", "q2": "rr", "q3": "ar", "q4": "aa", "q5": "a-"}
    for qa_id, both in verdicts.items():
        for reviewer, mark in zip(("ann", "bob"), both, strict=True):
            if mark != "-":
                decide(tmp_path, reviewer, qa_id, {"a": "accept", "r": "reject"}[mark])
    [found] = agreements(read_decisions(tmp_path))
    assert (found.reviewers, found.num_both, found.num_agreed) == (("ann", "bob"), 4, 3)
    # Observed 3/4; by chance 3/4 * 2/4 + 1/4 * 2/4 = 1/2.
    assert found.kappa == pytest.approx(0.5)


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ({"qa_id": "q", "reviewer": "a", "verdict": "maybe"}, "not a decision"),
        ({"qa_id": "q", "reviewer": "a", "verdict": "edit", "question": "x"}, "needs a question"),
        ({"qa_id": "q", "reviewer": "../a", "verdict": "accept"}, "use letters"),
    ],
)
def test_what_is_no_decision_is_refused(value, message):
    with pytest.raises(InputError, match=message):
        parse_decision(value)


@pytest.fixture
def server(run_folder):
    app = make_review_app(Reviewed(load_run(run_folder), "ann"))
    with running(app) as server:
        server.reviewed = app.state.reviewed
        yield server


def fetch(server, path, headers=None, data=None):
    url = f"http://127.0.0.1:{server.port}{path}"
    request = urllib.request.Request(url, data=data, headers=headers or {})
    try:
        with urllib.request.urlopen(request, timeout=60) as response:
            return response.status, response.headers, response.read()
    except urllib.error.HTTPError as error:
        return error.code, error.headers, error.read()


def test_videos_are_served_in_ranges(server, videos):
    content = (videos / "v0.mp4").read_bytes()
    assert fetch(server, "/media?id=v0")[2] == content
    for header, part in (("10-19", content[10:20]), ("100-", content[100:]), ("-7", content[-7:])):
        status, headers, body = fetch(server, "/media?id=v0", {"Range": f"bytes={header}"})
        assert (status, body) == (206, part)
    assert headers["Content-Range"] == f"bytes {len(content) - 7}-{len(content) - 1}/{len(content)}"
    assert fetch(server, "/media?id=v0", {"Range": "bytes=99999999-"})[0] == 416
    assert fetch(server, "/frame?id=v0&t=2")[2].startswith(b"\xff\xd8")


def test_a_browser_that_goes_away_is_no_error(server, capfd):
    for _ in range(3):
        client = socket.create_connection(("127.0.0.1", server.port))
        reset = struct.pack("ii", 1, 0)  # closing sends RST, as browsers do
        client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, reset)
        client.sendall(b"GET /media?id=v0 HTTP/1.1\r\nHost: 127.0.0.1\r\n")
        client.close()
    assert fetch(server, "/")[0] == 200
    server.stop()
    assert capfd.readouterr().err == ""


def test_a_video_is_served_as_a_video_whatever_its_name(server, videos, tmp_path):
    page = shutil.copy(videos / "v0.mp4", tmp_path / "page.html")
    server.reviewed.records["v0"] = dataclasses.replace(
        server.reviewed.records["v0"], path=str(page)
    )
    _, headers, _ = fetch(server, "/media?id=v0")
    assert (headers["Content-Type"], headers["X-Content-Type-Options"]) == ("video/mp4", "nosniff")


@pytest.mark.parametrize(
    "path", ["/media?id=../../etc/passwd", "/api/video?id=nope", "/frame?id=v0&t=x", "/etc/passwd"]
)
def test_nothing_but_the_runs_videos_is_served(server, path):
    status, _, body = fetch(server, path)
    assert status in (400, 404)
    assert "error" in json.loads(body)


def test_other_sites_cannot_decide(server):
    body = json.dumps({"qa_id": "v0/oe/count", "verdict": "reject"}).encode()
    kind = {"Content-Type": "application/json"}
    assert fetch(server, "/api/decision", kind | {"Origin": "http://evil.example"}, body)[0] == 403
    assert fetch(server, "/api/decision", kind | {"Host": "evil.example"}, body)[0] == 403
    assert fetch(server, "/api/decision", kind | {"Sec-Fetch-Site": "same-site"}, body)[0] == 403
    assert fetch(server, "/media?id=v0", {"Sec-Fetch-Site": "cross-site"})[0] == 403
    assert fetch(server, "/", {"Sec-Fetch-Site": "none"})[0] == 200
    assert fetch(server, "/api/decision", {"Content-Type": "text/plain"}, body)[0] == 400
    assert fetch(server, "/api/decision", kind, b"[" * 60_000)[0] == 400
    assert fetch(server, "/api/decision", kind, b"{")[0] == 400
    assert fetch(server, "/api/decision", kind, b'{"qa_id": "x", "verdict": "accept"}')[0] == 400
    assert fetch(server, "/api/decision", kind | {"Content-Length": "-1"}, body)[0] == 400
    assert fetch(server, "/api/decision", kind | {"Content-Length": "9" * 9}, body)[0] == 413
    assert fetch(server, "/api/decision", kind, body)[0] == 200
    assert json.loads(fetch(server, "/api/videos")[2])["videos"][0]["decided"] == 1


def test_an_edit_must_not_repeat_a_wrong_choice(server):
    [qa] = [qa for qa in server.reviewed.run.records[0].qas if qa.qa_id == "v0/mc/count"]
    wrong = next(option for option in qa.options if option != qa.answer)
    edit = {"qa_id": qa.qa_id, "verdict": "edit", "question": "How many?", "answer": wrong}
    kind = {"Content-Type": "application/json"}
    status, _, body = fetch(server, "/api/decision", kind, json.dumps(edit).encode())
    assert (status, "one of the wrong choices" in json.loads(body)["error"]["message"]) == (
        400,
        True,
    )


def test_a_taken_port_is_an_error_with_a_remedy(server, run_folder):
    with pytest.raises(InputError, match="give another --port"):
        make_server(run_folder, "ann", server.port)


@pytest.fixture
def browser():
    with headless() as found:
        yield found


def test_a_reviewer_works_through_questions_with_the_keyboard(server, browser, run_folder):
    from selenium.common.exceptions import StaleElementReferenceException
    from selenium.webdriver.common.action_chains import ActionChains
    from selenium.webdriver.common.by import By
    from selenium.webdriver.common.keys import Keys
    from selenium.webdriver.support.ui import WebDriverWait

    def until(condition):
        return WebDriverWait(browser, 15, 0.05, [StaleElementReferenceException]).until(
            lambda _: condition()
        )

    def find(selector):
        return browser.find_elements(By.CSS_SELECTOR, selector)

    def press(*keys):
        ActionChains(browser).send_keys(*keys).perform()

    def decisions():
        return {
            qa_id: decision.verdict
            for qa_id, decision in read_decisions(run_folder).get("ann", {}).items()
        }

    browser.get(f"http://127.0.0.1:{server.port}/")
    until(lambda: len(find("nav button")) == 3 and len(find("article")) == 32)
    find("nav button")[2].click()
    until(lambda: find("nav button")[2].get_attribute("aria-current") == "true")
    until(lambda: len(find(".lane button.level1")) == 4)
    assert len(find(".lane button.level2")) == len(find(".lane button.level3")) == 1
    ids = [card.get_attribute("data-id") for card in find("article")]
    spans = {qa.qa_id: qa.evidence_start_seconds for qa in load_run(run_folder).records[2].qas}

    press("a")
    until(lambda: decisions() == {ids[0]: "accept"})
    press("r")
    until(lambda: decisions() == {ids[0]: "accept", ids[1]: "reject"})
    until(lambda: find("article")[2].get_attribute("aria-current") == "true")
    press("e")
    until(lambda: find("article textarea"))
    question = find("article textarea")[0]
    question.clear()
    question.send_keys("What is edited?", Keys.CONTROL + Keys.ENTER)
    until(lambda: decisions().get(ids[2]) == "edit")
    edited = read_decisions(run_folder)["ann"][ids[2]]
    assert edited.question == "What is edited?"
    press("k", "k", "k", "u")
    until(lambda: ids[0] not in decisions() and not find("article")[0].get_attribute("class"))
    # With shift the same keys decide about the description that is shown.
    find(".lane button.level3")[0].click()
    press("R")
    until(lambda: decisions().get("v2/L3/000") == "reject")
    until(lambda: "reject" in find("#description")[0].get_attribute("class"))
    press("E")
    until(lambda: find("#caption textarea"))
    text = find("#caption textarea")[0]
    text.clear()
    text.send_keys("Aeru, all of it.", Keys.CONTROL + Keys.ENTER)
    until(lambda: decisions().get("v2/L3/000") == "edit")
    assert read_decisions(run_folder)["ann"]["v2/L3/000"].text == "Aeru, all of it."
    until(lambda: "Aeru, all of it." in find("#caption")[0].text)
    find("#described button")[3].click()
    until(lambda: "v2/L3/000" not in decisions())
    # Selecting a question seeks the video to its evidence.
    number = next((i for i, qa_id in enumerate(ids) if spans[qa_id] > 0), 3)
    find("article")[number].click()
    player = browser.find_element(By.ID, "player")
    until(lambda: abs(player.get_property("currentTime") - spans[ids[number]]) < 0.5)
    press("w")
    until(lambda: "call" in browser.find_element(By.ID, "chain").text)
    errors = [entry for entry in browser.get_log("browser") if entry["level"] == "SEVERE"]
    assert errors == []
