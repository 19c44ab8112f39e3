/** The review page: one video, its descriptions and questions, and decisions about them. */

const $ = (id) => document.getElementById(id);
const state = { videos: [], video: null, current: 0, editing: false, playable: true };

function make(tag, text, attributes = {}) {
  const node = document.createElement(tag);
  if (text !== undefined) node.textContent = text;
  for (const [name, value] of Object.entries(attributes)) node.setAttribute(name, value);
  return node;
}
async function get(path) {
  const response = await fetch(path);
  const value = await response.json();
  if (!response.ok) throw new Error(value.error.message);
  return value;
}
function span(from, to) { return `${+from.toFixed(1)} to ${+to.toFixed(1)} s`; }
function tell(text) { $("note").textContent = text; $("note").hidden = !text; }

async function loadVideos() {
  const found = await get("/api/videos");
  state.videos = found.videos;
  $("who").textContent = `reviewer ${found.reviewer}`;
  const list = $("videos");
  list.replaceChildren();
  for (const video of state.videos) {
    const button = make("button", undefined, { "data-id": video.id, "aria-current": state.video?.id === video.id });
    button.append(make("span", video.id), make("span", `${video.decided}/${video.questions}`));
    button.onclick = () => openVideo(video.id);
    list.append(button);
  }
  const pairs = await get("/api/agreement");
  $("agreement").textContent = pairs.map((p) => `${p.reviewers.join(" and ")}: ${p.num_agreed} of ${p.num_both} alike` +
    (p.kappa === null ? "" : `, kappa ${p.kappa.toFixed(2)}`)).join("; ");
}
async function openVideo(id) {
  state.video = await get(`/api/video?id=${encodeURIComponent(id)}`);
  state.current = 0; state.editing = false; state.playable = true;
  tell("");
  $("player").hidden = false; $("still").hidden = true;
  $("player").src = `/media?id=${encodeURIComponent(id)}`;
  for (const button of $("videos").children) button.setAttribute("aria-current", button.dataset.id === id);
  drawLanes(); drawQuestions(); select(0);
}
function drawLanes() {
  const lanes = $("lanes"); lanes.replaceChildren();
  const total = state.video.seconds;
  for (const level of [1, 2, 3]) {
    const captions = state.video.captions.filter((c) => c.level === level);
    if (!captions.length) continue;
    const lane = make("div", undefined, { class: "lane" });
    let from = 0;
    for (const caption of captions) {
      // A level-2 text covers the video so far; its bar shows what it added.
      const start = level === 2 ? from : caption.start_seconds;
      from = caption.end_seconds;
      const bar = make("button", `${level}: ${caption.text}`, { class: `level${level}`, title: caption.text, "data-id": caption.caption_id });
      bar.style.left = `${100 * start / total}%`;
      bar.style.width = `${100 * (caption.end_seconds - start) / total}%`;
      bar.onclick = (event) => { event.stopPropagation(); showCaption(caption); seek(start); };
      lane.append(bar);
    }
    lanes.append(lane);
  }
  lanes.append(make("div", undefined, { id: "evidence" }), make("div", undefined, { id: "needle" }));
  lanes.onclick = (event) => {
    const box = lanes.getBoundingClientRect();
    seek((event.clientX - box.left) / box.width * total);
  };
}
function showCaption(caption) {
  state.caption = caption;
  const text = caption.decision?.verdict === "edit" ? caption.decision.text : caption.text;
  $("caption").textContent = `${span(caption.start_seconds, caption.end_seconds)}: ${text}`;
  $("description").className = caption.decision?.verdict ?? "";
  const actions = $("described");
  actions.replaceChildren(); actions.hidden = false;
  for (const [name, act] of [["accept", () => decideCaption("accept")], ["edit", editCaption], ["reject", () => decideCaption("reject")], ["undo", () => decideCaption("undo")]]) {
    const button = make("button", name, { type: "button" });
    button.onclick = act;
    actions.append(button);
  }
  for (const bar of document.querySelectorAll(".lane button")) bar.setAttribute("aria-current", bar.dataset.id === caption.caption_id);
}
function decideCaption(verdict, text = "") {
  const caption = state.caption, before = caption.decision;
  caption.decision = verdict === "undo" ? null : { verdict, text };
  tell("");
  showCaption(caption);
  sending = sending.then(() => send(caption, before, { qa_id: caption.caption_id, verdict, text })).then(loadVideos);
}
function editCaption() {
  const caption = state.caption;
  const text = make("textarea", caption.decision?.text || caption.text, { rows: 6, "aria-label": "description" });
  const save = make("button", "save (Ctrl+Enter)", { type: "button" });
  save.onclick = () => decideCaption("edit", text.value);
  text.onkeydown = (event) => {
    event.stopPropagation();
    if (event.key === "Escape") showCaption(caption);
    if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) save.onclick();
  };
  $("caption").replaceChildren(text);
  $("described").replaceChildren(save);
  text.focus();
}
function drawQuestions() {
  const list = $("questions"); list.replaceChildren();
  state.video.qas.forEach((qa, index) => list.append(card(qa, index)));
}
function card(qa, index) {
  const edit = qa.decision?.verdict === "edit" ? qa.decision : null;
  const box = make("article", undefined, { class: qa.decision?.verdict ?? "", "data-id": qa.qa_id, "aria-current": index === state.current });
  const head = make("div", undefined, { class: "head" });
  head.append(make("span", `${qa.title}${qa.tags.length ? " · " + qa.tags.join(", ") : ""}`),
    make("span", span(qa.evidence_start_seconds, qa.evidence_end_seconds)));
  box.append(head);
  if (state.editing && index === state.current) return editor(box, qa, edit);
  box.append(make("p", edit?.question ?? qa.question, { class: "q" }));
  if (qa.options.length) {
    const options = make("ol");
    for (const option of qa.options) {
      const right = option === qa.answer;
      options.append(make("li", right && edit ? edit.answer : option, right ? { class: "right" } : {}));
    }
    box.append(options);
  } else box.append(make("p", edit?.answer ?? qa.answer));
  box.append(make("div", `${qa.provenance.model}, ${qa.provenance.prompt}`, { class: "head" }));
  const actions = make("div", undefined, { class: "actions" });
  for (const [name, act] of [["accept", () => decide("accept")], ["edit", startEdit], ["reject", () => decide("reject")], ["undo", () => decide("undo")], ["why", why]]) {
    const button = make("button", name, { type: "button" });
    button.onclick = (event) => { event.stopPropagation(); select(index); act(); };
    actions.append(button);
  }
  box.append(actions);
  box.onclick = () => select(index);
  return box;
}
function editor(box, qa, edit) {
  const question = make("textarea", edit?.question ?? qa.question, { rows: 2, "aria-label": "question" });
  const answer = make("textarea", edit?.answer ?? qa.answer, { rows: 2, "aria-label": "answer" });
  const save = make("button", "save (Ctrl+Enter)", { type: "button" });
  const stop = () => { state.editing = false; drawQuestions(); };
  const keep = () => { state.editing = false; decide("edit", question.value, answer.value); };
  save.onclick = (event) => { event.stopPropagation(); keep(); };
  box.onkeydown = (event) => {
    event.stopPropagation();
    if (event.key === "Escape") stop();
    if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) keep();
  };
  box.append(question, answer, save);
  queueMicrotask(() => question.focus());
  return box;
}
function select(index) {
  const qas = state.video.qas;
  if (!qas.length) return;
  state.current = Math.max(0, Math.min(qas.length - 1, index));
  [...$("questions").children].forEach((box, i) => box.setAttribute("aria-current", i === state.current));
  $("questions").children[state.current].scrollIntoView({ block: "nearest" });
  const qa = qas[state.current], total = state.video.seconds;
  $("evidence").style.left = `${100 * qa.evidence_start_seconds / total}%`;
  $("evidence").style.width = `${100 * (qa.evidence_end_seconds - qa.evidence_start_seconds) / total}%`;
  const caption = state.video.captions.find((c) => c.level === 1 &&
    c.start_seconds === qa.evidence_start_seconds && c.end_seconds === qa.evidence_end_seconds)
    ?? state.video.captions.at(-1);
  showCaption(caption);
  seek(qa.evidence_start_seconds);
}
function seek(seconds) {
  $("needle").style.left = `${100 * seconds / state.video.seconds}%`;
  if (state.playable) $("player").currentTime = seconds;
  else $("still").src = `/frame?id=${encodeURIComponent(state.video.id)}&t=${seconds}`;
}
// The page goes on at once, so that fast typing decides about the question that is shown; the server
// gets the decisions one after the other, and a refused one is taken back.
let sending = Promise.resolve();
function decide(verdict, question = "", answer = "") {
  const qa = state.video.qas[state.current], before = qa.decision;
  qa.decision = verdict === "undo" ? null : { verdict, question, answer };
  tell("");
  drawQuestions();
  select(state.current + (verdict === "undo" ? 0 : 1));
  sending = sending.then(() => send(qa, before, { qa_id: qa.qa_id, verdict, question, answer })).then(loadVideos);
}
async function send(qa, before, decision) {
  const response = await fetch("/api/decision", { method: "POST", headers: { "Content-Type": "application/json" },
    body: JSON.stringify(decision) }).catch((error) => ({ ok: false, json: () => ({ error: { message: String(error) } }) }));
  if (response.ok) return;
  qa.decision = before;
  if (qa.caption_id) showCaption(qa); else drawQuestions();
  tell((await response.json()).error.message);
}
function startEdit() { state.editing = true; drawQuestions(); }
async function why() {
  const chain = await get(`/api/explain?id=${encodeURIComponent(state.video.qas[state.current].qa_id)}`);
  $("chain").textContent = JSON.stringify(chain, null, 2);
  $("why").showModal();
}
$("player").onerror = () => {
  state.playable = false;
  $("player").hidden = true; $("still").hidden = false;
  tell("This browser cannot play the file; stills are shown instead.");
  seek(state.video.qas[state.current]?.evidence_start_seconds ?? 0);
};
$("player").ontimeupdate = () => { $("needle").style.left = `${100 * $("player").currentTime / state.video.seconds}%`; };
document.onkeydown = (event) => {
  if (!state.video || event.target.tagName === "TEXTAREA" || event.ctrlKey || event.metaKey || event.altKey || $("why").open) return;
  const here = state.videos.findIndex((v) => v.id === state.video.id);
  const acts = {
    A: () => decideCaption("accept"), R: () => decideCaption("reject"), U: () => decideCaption("undo"), E: editCaption,
    a: () => decide("accept"), r: () => decide("reject"), u: () => decide("undo"), e: startEdit, w: why,
    j: () => select(state.current + 1), k: () => select(state.current - 1),
    n: () => here + 1 < state.videos.length && openVideo(state.videos[here + 1].id),
    p: () => here > 0 && openVideo(state.videos[here - 1].id),
    " ": () => $("player").paused ? $("player").play() : $("player").pause(),
  };
  if (acts[event.key]) { event.preventDefault(); acts[event.key](); }
};
loadVideos().then(() => state.videos.length ? openVideo(state.videos[0].id) : tell("No video was annotated."));
