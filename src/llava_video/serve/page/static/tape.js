/** The token tape: every frame that the model sees, as wide as its tokens. */

import { byId, make, makeSvg } from "./dom.js";
import { clock, count } from "./format.js";
import { frameAt } from "./seen.js";

const IS_TOUCH = matchMedia("(pointer: coarse)").matches;
const NARROWEST = IS_TOUCH ? 9 : 4; // pixels of the narrowest frame; the tape scrolls beyond that
const LINKS_HEIGHT = 42;

/** @param {(seconds: number) => void} seek what a click on a frame does */
export function createTape(seek) {
  const scroller = byId("tape-scroll");
  const strip = byId("tape");
  const links = byId("links");
  const peek = byId("peek");
  let seen = null;
  let buttons = [];

  function show(wanted, heat) {
    seen = wanted;
    peek.hidden = true;
    buttons = (seen?.blocks ?? []).map((block, index) => frameButton(block, index, heat));
    strip.replaceChildren(...buttons);
    strip.classList.toggle("heated", Boolean(heat));
    layOut();
  }

  function frameButton(block, index, heat) {
    const kind = block.isSlow ? "slow" : "fast";
    const warmth = heat?.[block.frame];
    const influence = heat ? `, influence ${Math.round(100 * warmth)} of 100` : "";
    const label = `Frame ${block.frame + 1} at ${clock(block.seconds)}, ${kind}, ${block.numTokens} tokens${influence}`;
    const picture = make("span", { class: "picture" });
    const source = seen.thumbnails[block.frame];
    if (source) picture.append(make("img", { src: source, alt: "", draggable: false }));
    const button = make(
      "button",
      {
        type: "button",
        class: `frame ${kind}`,
        "aria-label": label,
        tabIndex: index === 0 ? 0 : -1,
        onclick: () => seek(block.seconds),
        onpointerenter: () => openPeek(block, button, warmth),
        onpointerleave: () => (peek.hidden = true),
        onfocus: () => openPeek(block, button, warmth),
        onblur: () => (peek.hidden = true),
      },
      heat ? make("span", { class: "heat" }) : null,
      picture,
      make("span", { class: "band" }),
    );
    if (heat) {
      button.querySelector(".heat").style.height = `${Math.round(34 * warmth)}px`;
      picture.style.opacity = String(0.3 + 0.7 * warmth);
    }
    return button;
  }

  function layOut() {
    const total = seen?.blocks.reduce((sum, block) => sum + block.numTokens, 0) ?? 0;
    links.replaceChildren();
    if (!total || !scroller.clientWidth) return;
    const fewest = Math.min(...seen.blocks.map((block) => block.numTokens));
    const scale = Math.max(scroller.clientWidth / total, NARROWEST / fewest);
    let left = 0;
    seen.blocks.forEach((block, index) => {
      buttons[index].style.left = `${left}px`;
      buttons[index].style.width = `${block.numTokens * scale}px`;
      left += block.numTokens * scale;
    });
    strip.style.width = `${left}px`;
    drawLinks(scale);
  }

  /** Threads from a frame's moment on the time line to its tokens on the tape. */
  function drawLinks(scale) {
    const width = scroller.clientWidth;
    links.setAttribute("viewBox", `0 0 ${width} ${LINKS_HEIGHT}`);
    let token = 0;
    for (const block of seen.blocks) {
      const from = (width * block.seconds) / seen.duration;
      const to = (token + block.numTokens / 2) * scale - scroller.scrollLeft;
      token += block.numTokens;
      if (to < -4 || to > width + 4) continue;
      const middle = LINKS_HEIGHT / 2;
      const path = `M${from.toFixed(1)} 0C${from.toFixed(1)} ${middle} ${to.toFixed(1)} ${middle} ${to.toFixed(1)} ${LINKS_HEIGHT}`;
      links.append(makeSvg("path", { d: path, class: block.isSlow ? "slow" : "fast" }));
    }
  }

  function openPeek(block, button, warmth) {
    const source = seen.thumbnails[block.frame];
    const words = `${clock(block.seconds)} · ${block.isSlow ? "slow" : "fast"} · ${count(block.numTokens)} tokens`;
    const image = source ? make("img", { src: source, alt: "" }) : null;
    const share = warmth === undefined ? null : make("b", {}, `influence ${Math.round(100 * warmth)}`);
    peek.replaceChildren(...[image, make("span", {}, words), share].filter(Boolean));
    peek.hidden = false;
    const outer = byId("film").getBoundingClientRect();
    const inner = button.getBoundingClientRect();
    const middle = inner.left + inner.width / 2 - outer.left - peek.offsetWidth / 2;
    peek.style.left = `${Math.max(0, Math.min(outer.width - peek.offsetWidth, middle))}px`;
    peek.style.top = `${inner.top - outer.top - peek.offsetHeight - 6}px`;
  }

  /** Mark the frame that is on screen. */
  function mark(seconds) {
    if (!seen) return;
    const frame = frameAt(seen.times, seconds);
    seen.blocks.forEach((block, index) => {
      if (block.frame === frame) buttons[index].setAttribute("aria-current", "true");
      else buttons[index].removeAttribute("aria-current");
    });
  }

  strip.addEventListener("keydown", (event) => {
    const here = buttons.indexOf(document.activeElement);
    const places = {
      ArrowLeft: here - 1,
      ArrowRight: here + 1,
      Home: 0,
      End: buttons.length - 1,
    };
    const next = buttons[places[event.key]];
    if (here < 0 || !(event.key in places)) return;
    event.preventDefault();
    if (!next) return;
    buttons[here].tabIndex = -1;
    next.tabIndex = 0;
    next.focus();
    next.scrollIntoView({ block: "nearest", inline: "nearest" });
  });
  scroller.addEventListener("scroll", layOut, { passive: true });
  new ResizeObserver(layOut).observe(scroller);
  return { show, mark };
}

/** A tape of one line without pictures, to compare two. */
export function smallTape(seen) {
  const total = seen.blocks.reduce((sum, block) => sum + block.numTokens, 0);
  const bars = seen.blocks.map((block) => {
    const bar = make("span", { class: block.isSlow ? "slow" : "fast" });
    bar.style.width = `${(100 * block.numTokens) / total}%`;
    return bar;
  });
  return make("div", { class: "small-tape", role: "img", "aria-label": "token tape" }, ...bars);
}
