/** A video on its way: chosen, watched at once, uploaded, read. */

import { ApiError } from "./api.js";
import { shownAs } from "./asking.js";
import { announce, byId } from "./dom.js";
import { bytes } from "./format.js";
import { seenOf } from "./seen.js";

const PREVIEW_WAIT_MS = 250;

export function createLoading({ store, api }) {
  let upload = null; // {id: Promise<string>, stopper}
  let previewStopper = null;
  let timer = 0;

  /** Take a video: a file, or a sample of the server by its address. */
  async function choose(file, size) {
    stop();
    clearTimeout(timer);
    previewStopper?.abort();
    if (store.state.video?.url) URL.revokeObjectURL(store.state.video.url);
    const video = { file, name: file.name, size: size ?? file.size, url: URL.createObjectURL(file) };
    store.set({
      video,
      preview: null,
      previewError: null,
      warnings: [],
      failed: null,
      isPlayable: true,
      seconds: 0,
      duration: 0,
      span: null,
      subtitles: null,
      shown: null,
      representation: "",
      maxVideoTokens: null,
      mostTokens: 0,
    });
    await start();
  }

  /** Upload the chosen video, then look at what the model will see. */
  async function start() {
    const { video, server } = store.state;
    store.set({ failed: null });
    const most = server?.max_file_bytes;
    if (most && video.file.size > most) {
      fail(new ApiError(413, `${video.name} has ${bytes(video.file.size)}; this server takes ${bytes(most)}.`), false);
      return;
    }
    const stopper = new AbortController();
    const id = api
      .upload(video.file, (loaded, total) => store.set({ upload: { loaded, total } }), stopper.signal)
      .then((stored) => stored.id);
    const own = (upload = { id, stopper });
    id.catch(() => {}); // said below; questions that wait for it say it too
    store.set({ upload: { loaded: 0, total: video.file.size } });
    announce(`Uploading ${video.name}`);
    try {
      await id;
      if (upload !== own) return;
      store.set({ upload: { isReading: true } });
      await look();
      if (upload === own) announce("The video is ready. Ask about it.");
    } catch (error) {
      if (upload === own) fail(error, true);
    } finally {
      if (upload === own) store.set({ upload: null });
    }
  }

  function fail(error, canTryAgain) {
    if (error.name !== "AbortError" && !(error instanceof ApiError)) throw error;
    const text = error.name === "AbortError" ? "The upload was cancelled." : error.message;
    store.set({ failed: { text, canTryAgain: canTryAgain && ![400, 413, 415, 422].includes(error.status) } });
  }

  function stop() {
    upload?.stopper.abort();
    upload = null;
    store.set({ upload: null });
  }

  function cancel() {
    upload?.stopper.abort();
  }

  const ready = () => upload?.id ?? Promise.reject(new ApiError(0, "There is no video; choose one."));

  /** Ask the server what the model will see with the settings of now. */
  async function look() {
    previewStopper?.abort();
    const stopper = (previewStopper = new AbortController());
    const fileId = await ready();
    store.set({ isPreviewing: true });
    try {
      const { representation, maxVideoTokens, span } = store.state;
      const body = { file_id: fileId, ...shownAs({ representation, maxVideoTokens, span }) };
      const found = await api.preview(body, stopper.signal);
      const preview = seenOf(found);
      const { duration } = preview;
      const mostTokens = found.most_video_tokens;
      store.set({ preview, duration, previewError: null, mostTokens, warnings: found.warnings });
    } catch (error) {
      if (error.name !== "AbortError") throw error;
    } finally {
      if (previewStopper === stopper) store.set({ isPreviewing: false });
    }
  }

  async function lookAgain() {
    if (!store.state.preview) return;
    try {
      await look();
    } catch (error) {
      if (!(error instanceof ApiError)) throw error;
      if (error.status === 404) await reload();
      else store.set({ previewError: error.message, isPreviewing: false });
    }
  }

  /** Upload the file once more, for a server that no longer has it. */
  async function reload() {
    await start();
    return ready();
  }

  store.watch(["representation", "maxVideoTokens", "span"], () => {
    if (store.state.shown) store.set({ shown: null });
    if (store.state.preview) store.set({ isPreviewing: true });
    clearTimeout(timer);
    timer = setTimeout(lookAgain, PREVIEW_WAIT_MS);
  });
  store.watch(["upload"], ({ upload: now }) => {
    byId("upload").hidden = now === null;
    if (now === null) return;
    const bar = byId("upload-bar");
    byId("upload-stop").hidden = Boolean(now.isReading);
    if (now.isReading || now.loaded >= now.total) {
      bar.removeAttribute("value");
      byId("upload-text").textContent = "The server reads the video";
    } else {
      bar.value = now.loaded / now.total;
      byId("upload-text").textContent = `Uploading, ${bytes(now.loaded)} of ${bytes(now.total)}`;
    }
  });
  store.watch(["failed"], ({ failed }) => {
    byId("failed").hidden = !failed;
    byId("failed-text").textContent = failed?.text ?? "";
    byId("failed-again").hidden = !failed?.canTryAgain;
  });
  byId("upload-stop").addEventListener("click", cancel);
  byId("failed-again").addEventListener("click", () => start());
  return { choose, stop, ready, reload };
}
