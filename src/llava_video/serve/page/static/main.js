/** The page: puts its parts together. */

import { ApiError, createApi } from "./api.js";
import { openConversation, saveConversation } from "./archive.js";
import { createAsking } from "./asking.js";
import { createBudget } from "./budget.js";
import { createComposer } from "./composer.js";
import { createConversation } from "./conversation.js";
import { announce, byId, make } from "./dom.js";
import { createDrop } from "./drop.js";
import { bytes } from "./format.js";
import { createKey } from "./key.js";
import { createLoading } from "./loading.js";
import { createPlayer } from "./player.js";
import { createStore } from "./store.js";
import { parseSubtitles } from "./subtitles.js";
import { createTape } from "./tape.js";
import { createTimeline } from "./timeline.js";

const store = createStore({
  server: null, // what `/v1/page` says
  video: null, // {file, name, size, url}
  awaited: null, // {name, size} of the video of an opened conversation
  upload: null, // {loaded, total} or {isReading}
  failed: null, // {text, canTryAgain}
  isPlayable: true,
  seconds: 0,
  duration: 0,
  preview: null, // what the model will see; see `seenOf`
  previewError: null,
  warnings: [], // of the file, one sentence each
  isPreviewing: false,
  mostTokens: 0,
  representation: "",
  maxVideoTokens: null,
  span: null, // {start, end}, or null for the whole video
  subtitles: null, // {name, cues}
  turns: [],
  stopper: null, // of the question that is answered now
  shown: null, // {turn, side, seen, heat}: the influence that is on the tape
});

const api = createApi(createKey());
const player = createPlayer(store);
const tape = createTape(player.seek);
const loading = createLoading({ store, api });
const asking = createAsking({
  store,
  api,
  ready: loading.ready,
  reload: loading.reload,
  changed: (turn) => conversation.changed(turn),
});
const conversation = createConversation({
  store,
  seek: player.seek,
  again,
  influence: asking.influence,
});
createTimeline({ store, seek: player.seek });
createBudget(store);
const composer = createComposer({ store, ask });
createDrop({ video: takeVideo, subtitles: takeSubtitles, conversation: takeConversation });

/** Do something; what the server refuses is said at the top of the page. */
async function attempt(act) {
  byId("problem").hidden = true;
  try {
    return await act();
  } catch (error) {
    if (!(error instanceof ApiError)) throw error;
    byId("problem-text").textContent = error.message;
    byId("problem-act").onclick = () => attempt(act);
    byId("problem").hidden = false;
    return undefined;
  }
}

function ask(question, comparedWith = null) {
  return asking.ask(question, comparedWith);
}

function again(turn) {
  store.set({ turns: store.state.turns.filter((one) => one !== turn) });
  return ask(turn.question, turn.sides[1]?.settings.representation ?? null);
}

async function takeVideo(file) {
  const { awaited, turns, video } = store.state;
  const isAwaited = awaited?.name === file.name && awaited.size === file.size;
  if (turns.length && !isAwaited && !(await startsOver())) return;
  store.state.stopper?.abort();
  store.set({ turns: isAwaited ? turns : [], awaited: null });
  const isFirst = video === null;
  const chosen = loading.choose(file);
  if (isFirst && matchMedia("(hover: hover)").matches) composer.focus();
  await attempt(() => chosen);
}

function startsOver() {
  const dialog = byId("over-dialog");
  dialog.returnValue = "";
  dialog.showModal();
  return new Promise((resolve) => {
    dialog.addEventListener("close", () => resolve(dialog.returnValue === "over"), { once: true });
  });
}

function takeSubtitles(file) {
  return attempt(async () => {
    const cues = parseSubtitles(await file.text(), file.name);
    store.set({ subtitles: { name: file.name, cues } });
    announce(`${cues.length} subtitles are shown, and sent with the next question.`);
  });
}

function takeConversation(file) {
  return attempt(async () => {
    const { video, duration, turns } = await openConversation(file);
    if (store.state.turns.length && !(await startsOver())) return;
    store.state.stopper?.abort();
    loading.stop();
    store.set({ video: null, preview: null, shown: null, failed: null, turns: [] });
    store.set({ turns, awaited: video, duration });
  });
}

function sampleCard({ name, title, url }) {
  const picture = make("video", { src: `${url}#t=2`, muted: true, loop: true, playsInline: true, preload: "metadata", "aria-hidden": "true", tabIndex: -1 });
  const take = () =>
    attempt(async () => {
      const response = await fetch(url).catch(() => null);
      if (!response?.ok) throw new ApiError(0, "The sample cannot be fetched. Is the server still running?");
      await takeVideo(new File([await response.blob()], name, { type: "video/mp4" }));
    });
  const card = make("button", { type: "button", class: "sample", onclick: take }, picture, make("span", {}, title));
  if (!matchMedia("(prefers-reduced-motion: reduce)").matches) {
    card.addEventListener("pointerenter", () => picture.play().catch(() => {}));
    card.addEventListener("pointerleave", () => picture.pause());
  }
  return card;
}

const connect = () =>
  attempt(async () => {
    const server = await api.server();
    byId("model").textContent = server.model;
    byId("notice").textContent = server.notice ?? "";
    byId("notice").hidden = !server.notice;
    byId("limits").textContent = `Up to ${bytes(server.max_file_bytes)}. It goes to this server and nowhere else.`;
    byId("sample-list").replaceChildren(...server.samples.map(sampleCard));
    byId("samples").hidden = server.samples.length === 0;
    store.set({ server });
  });

store.watch(["video", "turns", "awaited", "failed"], ({ video, turns, awaited, failed }) => {
  byId("welcome").hidden = video !== null;
  byId("watch").hidden = video === null;
  byId("talk").hidden = (video === null || failed !== null) && !turns.length;
  byId("composer").hidden = video === null;
  byId("new").hidden = video === null;
  byId("save").hidden = video === null || !turns.some((turn) => turn.sides[0].text);
  document.body.classList.toggle("watching", video !== null || turns.length > 0);
  document.title = video ? `${video.name} - llava-video` : "llava-video";
  byId("welcome-title").textContent = awaited
    ? `Drop ${awaited.name} here to go on`
    : "Drop a video here and ask about it";
});
store.watch(["preview", "failed"], ({ preview, failed }) => {
  byId("film").hidden = !preview || Boolean(failed);
  byId("budget").hidden = !preview || Boolean(failed);
});
store.watch(["preview", "shown"], ({ preview, shown, seconds }) => {
  tape.show(shown?.seen ?? preview, shown?.heat);
  tape.mark(seconds);
  const number = shown ? store.state.turns.indexOf(shown.turn) + 1 : 0;
  byId("shown-text").hidden = !shown;
  byId("shown-text").textContent = shown ? `What mattered for answer ${number}` : "";
});
store.watch(["seconds"], ({ seconds }) => tape.mark(seconds));
store.watch(["subtitles"], ({ subtitles }) => {
  byId("subtitles").textContent = subtitles
    ? `${subtitles.name} (${subtitles.cues.length})`
    : "Add subtitles";
  byId("subtitles-off").hidden = !subtitles;
});
byId("subtitles-off").addEventListener("click", () => {
  store.set({ subtitles: null });
  byId("subtitles").focus();
});
byId("save").addEventListener("click", () =>
  attempt(async () => saveConversation(store.state, api, await loading.ready())),
);
byId("settings").open = matchMedia("(min-width: 60rem) and (min-height: 62rem)").matches;
connect();
