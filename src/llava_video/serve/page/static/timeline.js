/** The time line: where the player is, and the part of the video that the model gets. */

import { byId } from "./dom.js";
import { clock } from "./format.js";

const STEP = 0.1;
const SHORTEST = 0.1; // seconds of a part

/** @param {{store: object, seek: (seconds: number) => void}} given */
export function createTimeline({ store, seek }) {
  const track = byId("track");
  const handles = { start: byId("part-start"), end: byId("part-end") };
  const duration = () => store.state.duration;
  const part = () => store.state.span ?? { start: 0, end: duration() };

  function choose(side, seconds) {
    const { start, end } = part();
    const at = Math.round(seconds / STEP) * STEP;
    const next =
      side === "start"
        ? { start: Math.max(0, Math.min(at, end - SHORTEST)), end }
        : { start, end: Math.min(duration(), Math.max(at, start + SHORTEST)) };
    const isWhole = next.start <= 0 && next.end >= duration() - 1e-6;
    store.set({ span: isWhole ? null : next });
  }

  function secondsAt(event) {
    const box = track.getBoundingClientRect();
    const share = (event.clientX - box.left) / box.width;
    return duration() * Math.max(0, Math.min(1, share));
  }

  for (const [side, handle] of Object.entries(handles)) {
    handle.addEventListener("pointerdown", (event) => {
      handle.setPointerCapture(event.pointerId);
      event.stopPropagation();
    });
    handle.addEventListener("pointermove", (event) => {
      if (handle.hasPointerCapture(event.pointerId)) choose(side, secondsAt(event));
    });
    handle.addEventListener("click", (event) => event.stopPropagation());
    handle.addEventListener("keydown", (event) => {
      const step = event.shiftKey ? 10 * STEP : STEP;
      const here = part()[side];
      const places = {
        ArrowLeft: here - step,
        ArrowDown: here - step,
        ArrowRight: here + step,
        ArrowUp: here + step,
        PageDown: here - duration() / 10,
        PageUp: here + duration() / 10,
        Home: 0,
        End: duration(),
      };
      if (!(event.key in places)) return;
      event.preventDefault();
      choose(side, places[event.key]);
    });
  }
  track.addEventListener("click", (event) => seek(secondsAt(event)));
  byId("whole").addEventListener("click", () => {
    store.set({ span: null });
    handles.start.focus();
  });

  store.watch(["span", "duration"], () => {
    const total = duration();
    if (!total) return;
    const { start, end } = part();
    for (const [side, handle] of Object.entries(handles)) {
      const at = side === "start" ? start : end;
      handle.style.left = `${(100 * at) / total}%`;
      handle.setAttribute("aria-valuemin", "0");
      handle.setAttribute("aria-valuemax", total.toFixed(2));
      handle.setAttribute("aria-valuenow", at.toFixed(2));
      handle.setAttribute("aria-valuetext", clock(at));
    }
    byId("part").style.left = `${(100 * start) / total}%`;
    byId("part").style.width = `${(100 * (end - start)) / total}%`;
    const isWhole = store.state.span === null;
    byId("part-text").textContent = isWhole
      ? `The whole video, ${clock(total)}`
      : `Only ${clock(start)} to ${clock(end)} of ${clock(total)}`;
    byId("whole").hidden = isWhole;
  });
  store.watch(["seconds", "duration"], ({ seconds }) => {
    if (duration()) byId("playhead").style.left = `${(100 * Math.min(seconds, duration())) / duration()}%`;
  });
}
