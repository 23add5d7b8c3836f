// SPDX-FileCopyrightText: The airflow-healthomics authors
// SPDX-License-Identifier: Apache-2.0

// Links that leave the page, and buttons that copy.
//
// Airflow 3.1 to 3.3 frames the page with sandbox="allow-scripts allow-same-origin allow-forms allow-downloads".
// Without allow-popups a click on a link with target=_blank does nothing (a Ctrl or middle click works), and
// without a target it would load the AWS console into the frame, which the console refuses. So where the frame
// forbids it, a plain click is handed to Airflow's own page around it, which is of the same origin: a link that
// belongs to that document is followed there. Should that fail too, there is the button that copies.

import { announce, h, icon } from "./dom.js";

/** Return the address if it is one that may be followed, else null. */
export function safeUrl(text) {
  try {
    const url = new URL(text, document.baseURI);
    return url.protocol === "https:" || url.protocol === "http:" ? url.href : null;
  } catch {
    return null;
  }
}

function popupsForbidden() {
  try {
    const sandbox = window.frameElement?.getAttribute("sandbox");
    return sandbox != null && !sandbox.split(/\s+/).includes("allow-popups");
  } catch {
    return false; // framed by another origin, which then decides
  }
}

function follow(event) {
  const plain = event.button === 0 && !event.ctrlKey && !event.metaKey && !event.shiftKey && !event.altKey;
  if (!plain || !popupsForbidden()) return;
  const outer = window.parent.document.createElement("a");
  outer.href = event.currentTarget.href;
  outer.target = "_blank";
  outer.rel = "noopener noreferrer";
  outer.click();
  event.preventDefault();
}

/** A link to another site, in a new tab; null if the address is not one to follow. */
export function linkOut(text, address) {
  const href = address && safeUrl(address);
  if (!href) return null;
  return h(
    "a",
    { href, target: "_blank", rel: "noopener noreferrer", class: "out", onclick: follow },
    h("span", {}, text),
    icon("open"),
    h("span", { class: "sr" }, " (opens in a new tab)"),
  );
}

/** A link to the page itself, outside of the frame; null if it is in none. */
export function aloneLink() {
  if (window.parent === window) return null;
  const link = linkOut("Open alone", location.href);
  // The address changes while one moves in the page.
  for (const moment of ["pointerdown", "focus", "mouseenter"]) link.addEventListener(moment, () => (link.href = location.href));
  return link;
}

async function toClipboard(text) {
  try {
    await navigator.clipboard.writeText(text);
    return true;
  } catch {
    // Airflow is often served by plain HTTP, where there is no clipboard API.
    const focused = document.activeElement;
    const area = h("textarea", { class: "sr", readonly: true, "aria-hidden": "true" });
    area.value = text;
    document.body.append(area);
    area.select();
    const done = document.execCommand("copy");
    area.remove();
    focused?.focus({ preventScroll: true });
    return done;
  }
}

/** A button that copies what `textOf` returns; `what` names it. */
export function copyButton(what, textOf, label = null) {
  const word = h("span", { class: label ? "" : "sr" }, label ?? `Copy ${what}`);
  const button = h("button", { type: "button", class: label ? "quiet" : "quiet bare", title: `Copy ${what}` }, icon("copy"), word);
  button.addEventListener("click", async () => {
    const done = await toClipboard(textOf());
    announce(done ? `Copied ${what}` : `Could not copy ${what}`);
    button.dataset.done = done ? "yes" : "no";
    setTimeout(() => delete button.dataset.done, 1500);
  });
  return button;
}
