/** The player; stills in its place where the browser cannot play the file. */

import { byId } from "./dom.js";
import { frameAt } from "./seen.js";
import { showOnPlayer } from "./subtitles.js";

const INSIDE = 0.001; // just after the border of two frames, the later one is shown

export function createPlayer(store) {
  const video = byId("player");
  const still = byId("still");

  function showStill() {
    const { preview, seconds } = store.state;
    const source = preview?.thumbnails[frameAt(preview.times, seconds)];
    still.hidden = store.state.isPlayable || !source;
    if (source) still.src = source;
  }

  function seek(seconds) {
    if (store.state.isPlayable) video.currentTime = Math.min(seconds + INSIDE, video.duration || seconds);
    store.set({ seconds });
  }

  video.addEventListener("timeupdate", () => store.set({ seconds: video.currentTime }));
  video.addEventListener("seeking", () => store.set({ seconds: video.currentTime }));
  video.addEventListener("loadedmetadata", () => {
    // A file with sound only, or with pictures that the browser cannot decode, has no size.
    if (!video.videoWidth) store.set({ isPlayable: false });
    else if (Number.isFinite(video.duration) && !store.state.preview) {
      store.set({ duration: video.duration });
    }
  });
  video.addEventListener("error", () => {
    if (video.getAttribute("src")) store.set({ isPlayable: false });
  });
  store.watch(["video"], ({ video: chosen }) => {
    if (chosen?.url) video.src = chosen.url;
    else video.removeAttribute("src");
    video.load();
  });
  store.watch(["subtitles", "video"], ({ subtitles }) => showOnPlayer(video, subtitles?.cues));
  store.watch(["isPlayable", "video", "failed"], ({ isPlayable, failed }) => {
    video.hidden = !isPlayable;
    byId("unplayable").hidden = isPlayable || Boolean(failed);
    byId("stage").hidden = !isPlayable && Boolean(failed);
  });
  store.watch(["seconds", "preview", "isPlayable"], showStill);
  return { seek };
}
