/** The API key of a server that wants one: asked for once, kept for this tab only. */

import { ApiError } from "./api.js";
import { byId } from "./dom.js";

const NAME = "llava-video-key";

export function createKey() {
  const dialog = byId("key-dialog");
  const field = byId("key");
  let asking = null;

  /** Ask for it; those who ask at the same time share one dialog. */
  function ask(isWrong) {
    asking ??= new Promise((resolve, reject) => {
      byId("key-wrong").hidden = !isWrong;
      field.value = "";
      dialog.returnValue = "";
      dialog.showModal();
      dialog.addEventListener(
        "close",
        () => {
          asking = null;
          const key = field.value.trim();
          field.value = "";
          if (dialog.returnValue !== "use" || !key) {
            reject(new ApiError(403, "This server wants an API key."));
            return;
          }
          sessionStorage.setItem(NAME, key);
          resolve(key);
        },
        { once: true },
      );
    });
    return asking;
  }

  return { read: () => sessionStorage.getItem(NAME) ?? "", ask };
}
