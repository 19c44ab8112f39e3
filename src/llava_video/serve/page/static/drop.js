/** Files that are dropped or chosen, and what they are. */

import { byId } from "./dom.js";

const kindOf = (file) => {
  if (/\.(srt|vtt)$/i.test(file.name)) return "subtitles";
  if (/\.html?$/i.test(file.name)) return "conversation";
  return "video";
};

/** @param {{video: Function, subtitles: Function, conversation: Function}} take one file each */
export function createDrop(take) {
  const hint = byId("dropping");
  let depth = 0;

  /** A video first: subtitles that come with it belong to it. */
  async function takeAll(files) {
    for (const kind of ["conversation", "video", "subtitles"]) {
      const file = files.find((one) => kindOf(one) === kind);
      if (file) await take[kind](file);
    }
  }

  const hasFiles = (event) => event.dataTransfer?.types.includes("Files");
  addEventListener("dragenter", (event) => {
    if (!hasFiles(event)) return;
    depth += 1;
    hint.hidden = false;
  });
  addEventListener("dragleave", (event) => {
    if (!hasFiles(event)) return;
    depth -= 1;
    hint.hidden = depth > 0 ? hint.hidden : true;
  });
  addEventListener("dragover", (event) => {
    if (hasFiles(event)) event.preventDefault();
  });
  addEventListener("drop", (event) => {
    depth = 0;
    hint.hidden = true;
    if (!hasFiles(event)) return;
    event.preventDefault();
    takeAll([...event.dataTransfer.files]);
  });

  for (const [button, input] of [
    ["choose", "video-file"],
    ["new", "video-file"],
    ["failed-other", "video-file"],
    ["subtitles", "subtitles-file"],
    ["open", "conversation-file"],
  ]) {
    byId(button).addEventListener("click", () => byId(input).click());
  }
  for (const id of ["video-file", "subtitles-file", "conversation-file"]) {
    byId(id).addEventListener("change", () => {
      const files = [...byId(id).files];
      byId(id).value = ""; // so that the same file can be chosen again
      takeAll(files);
    });
  }
}
