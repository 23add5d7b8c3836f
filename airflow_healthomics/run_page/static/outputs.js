// SPDX-FileCopyrightText: The airflow-healthomics authors
// SPDX-License-Identifier: Apache-2.0

// The outputs of a run: its named outputs, its folders, and a viewer.
//
// The API answers with names only. The viewer is a document of the API, in whose sandboxed frame the browser loads
// the file from S3.

import { ApiError, get } from "./api.js";
import { h, setAttr, setText, show } from "./dom.js";
import * as f from "./format.js";
import { linkOut } from "./links.js";
import { Notices, setTime } from "./widgets.js";

/** The folder of a path: "out/a/b.txt" -> "out/a/". */
export const folderOf = (path) => path.slice(0, path.lastIndexOf("/") + 1);

/** The folders above and with a folder: "out/a/" -> ["", "out/", "out/a/"]. */
export function trailOf(folder) {
  const parts = folder.split("/").slice(0, -1);
  return parts.reduce((trail, part) => [...trail, `${trail.at(-1)}${part}/`], [""]);
}

/** The addresses of the outputs below that of their run. */
export const listPath = (path, folder) => `${path}/outputs${folder ? `?${new URLSearchParams({ folder })}` : ""}`;
export const viewPath = (path, file, query = {}) => `${path}/outputs/view?${new URLSearchParams({ path: file, ...query })}`;

/** What a list says about itself. */
export function countWords({ folders, files, truncated }) {
  const count = folders.length + files.length;
  if (!count) return "Nothing is here.";
  const words = [folders.length && f.plural(folders.length, "folder"), files.length && f.plural(files.length, "file")].filter(Boolean).join(", ");
  return truncated ? `The first ${f.number(count)} only: ${words}. S3 has more.` : words;
}

export class Outputs {
  constructor() {
    this.notices = new Notices();
    this.names = h("tbody");
    this.named = h("div", { class: "scroll", role: "region", tabindex: "0", "aria-label": "Named outputs", hidden: true },
      h("table", { class: "plain" }, h("thead", {}, h("tr", {}, ["Output", "Files"].map((title) => h("th", { scope: "col" }, title)))), this.names));
    this.trail = h("nav", { class: "row", "aria-label": "Folder" });
    this.link = h("span", {});
    this.rows = h("tbody");
    this.list = h("div", { class: "scroll", role: "region", tabindex: "0", "aria-label": "Files", hidden: true },
      h("table", { class: "plain" }, h("thead", {}, h("tr", {}, ["Name", "Size", "Changed"].map((title) => h("th", { scope: "col" }, title)))), this.rows));
    this.status = h("span", { class: "sub", role: "status" });
    this.viewed = h("h3", { tabindex: "-1" });
    this.alone = h("span", {});
    this.frame = h("div", { class: "view" });
    this.viewer = h("section", { "aria-label": "Viewer", hidden: true, "data-testid": "viewer" },
      h("div", { class: "row" }, this.viewed, h("span", { class: "spring" }), this.alone, h("button", { type: "button", class: "quiet", onclick: () => this.#close() }, "Close")),
      this.frame);
    this.node = h("details", { class: "card outputs", "data-testid": "outputs", hidden: true, ontoggle: () => this.#toggled() },
      h("summary", {}, h("h2", {}, "Outputs")),
      h("div", { class: "inside" }, this.notices.node, this.named, h("div", { class: "row" }, this.trail, h("span", { class: "spring" }), this.link), this.list, this.status, this.viewer));
  }

  /** `path`: the address of the run; null if there are no outputs to show. */
  from(path) {
    if (this.path === path) return;
    this.path = path;
    this.known = false;
    show(this.node, Boolean(path));
  }

  /** Open the section, and move the focus to it: what the button in the page's header does. */
  reveal() {
    this.node.open = true;
    this.node.scrollIntoView({ block: "start" });
    this.node.firstChild.focus({ preventScroll: true });
  }

  #toggled() {
    if (this.node.open && !this.known) this.load("");
  }

  async load(folder) {
    const { path } = this;
    const question = (this.question = {}); // a slower answer to an earlier question is dropped
    setText(this.status, "Loading …");
    setAttr(this.list, "aria-busy", "true");
    try {
      const { body } = await get(listPath(path, folder));
      if (question === this.question) this.#fill(folder, body);
    } catch (error) {
      if (!(error instanceof ApiError)) throw error;
      if (question === this.question) setText(this.status, `The outputs cannot be listed: ${error.message}`);
    } finally {
      setAttr(this.list, "aria-busy", null);
    }
  }

  #fill(folder, body) {
    this.known = true;
    this.notices.update(body.notices);
    if (!folder) {
      this.names.replaceChildren(...(body.named ?? []).map((each) => this.#name(each)));
      show(this.named, Boolean(body.named));
    }
    this.trail.replaceChildren(...trailOf(folder).map((each) => this.#step(each, each === folder)));
    this.link.replaceChildren(...[linkOut("Open in S3", body.link)].filter(Boolean));
    const folders = body.folders.map((name) => h("tr", {}, h("th", { scope: "row" }, this.#folder(`${folder}${name}`, name)), h("td"), h("td")));
    this.rows.replaceChildren(...folders, ...body.files.map((file) => this.#file(folder, file)));
    show(this.list, folders.length + body.files.length > 0);
    setText(this.status, countWords(body));
  }

  #step(folder, here) {
    const name = folder ? folder.split("/").at(-2) : "All outputs";
    return h("button", { type: "button", class: "quiet", "aria-current": here ? "location" : null, onclick: () => this.load(folder) }, name);
  }

  #folder(folder, name) {
    return h("button", { type: "button", class: "fold", onclick: () => this.load(folder) }, name);
  }

  #file(folder, { name, size, lastModified, view }) {
    const time = h("time");
    setTime(time, f.time(lastModified));
    const path = `${folder}${name}`;
    return h("tr", {}, h("th", { scope: "row" }, this.#opener(path, name, view) ?? h("span", {}, name)), h("td", {}, f.bytes(size)), h("td", {}, time));
  }

  #name({ name, files, more, others }) {
    const rest = [more && `${f.number(more)} more`, others && `${f.plural(others, "value")} that ${others === 1 ? "is" : "are"} not shown`].filter(Boolean).join(", ");
    const shown = files.map((file) => h("li", {}, this.#opener(file.name, file.name, file.view) ?? this.#folder(folderOf(file.name), file.name)));
    return h("tr", {}, h("th", { scope: "row" }, name), h("td", {}, h("ul", {}, shown), rest && h("span", { class: "sub" }, rest)));
  }

  /** What opens a file: a button for the viewer, a link for a new tab; null if the page does not show it. */
  #opener(path, name, view) {
    if (view === "tab") return linkOut(name, viewPath(this.path, path));
    if (view !== "frame") return null;
    return h("button", { type: "button", class: "fold", "data-testid": "view", onclick: (event) => this.#view(path, event.currentTarget) }, name);
  }

  #view(path, opener) {
    this.opener = opener;
    const name = path.split("/").at(-1);
    setText(this.viewed, name);
    // Some reports need the browser's storage, which the sandbox denies.
    this.alone.replaceChildren(linkOut("Open alone", viewPath(this.path, path, { alone: true })));
    // A new frame each time: another address of the same one would be a step of the browser's history.
    this.frame.replaceChildren(h("iframe", { src: viewPath(this.path, path), title: `View of ${name}`, "data-testid": "output" }));
    show(this.viewer, true);
    this.viewer.scrollIntoView({ block: "nearest" });
    this.viewed.focus({ preventScroll: true });
  }

  #close() {
    this.frame.replaceChildren();
    show(this.viewer, false);
    if (this.opener?.isConnected) this.opener.focus();
  }
}
