// SPDX-FileCopyrightText: The airflow-healthomics authors
// SPDX-License-Identifier: Apache-2.0

// A log: opened at its end, with the likely cause marked; searched, read backwards, copied and downloaded.

import { ApiError, get } from "./api.js";
import { announce, h, setAttr, setText, show } from "./dom.js";
import * as f from "./format.js";
import { copyButton, linkOut } from "./links.js";
import { causeOf, hits, plain } from "./loglines.js";

/** Events per page of a download, and maximum number of pages. */
const DOWNLOAD_EVENTS = 10_000;
const DOWNLOAD_PAGES = 5;

/** The address of a log below that of its run; the engine's without a task. */
export function logPath(path, taskId, query = {}) {
  const all = new URLSearchParams({ ...(taskId ? { task: taskId } : {}), ...query });
  return `${path}/log${all.size ? `?${all}` : ""}`;
}

export class LogBox {
  constructor(name) {
    this.name = name;
    this.lines = [];
    this.hits = [];
    this.search = h("input", { type: "search", placeholder: "Search the log", "aria-label": `Search the log of ${name}`, oninput: () => this.#find(), onkeydown: (event) => this.#keys(event) });
    this.next = h("button", { type: "button", class: "quiet", hidden: true, onclick: () => this.#step(1) }, "Next");
    this.cause = h("button", { type: "button", class: "quiet cause", hidden: true, onclick: () => this.#toCause() });
    this.earlier = h("button", { type: "button", class: "quiet", hidden: true, onclick: () => this.#earlier() }, "Earlier lines");
    this.download = h("button", { type: "button", class: "quiet", hidden: true, onclick: () => this.#download() }, "Download");
    this.copy = copyButton("the log lines", () => this.lines.join("\n"), "Copy lines");
    this.status = h("span", { class: "sub", role: "status" });
    this.box = h("pre", { tabindex: "0", role: "group", class: "log", "aria-label": `Log of ${name}` });
    this.node = h("div", { class: "logbox" },
      h("div", { class: "tools" }, this.search, this.next, this.cause, h("span", { class: "spring" }), this.earlier, this.copy, this.download),
      this.box, this.status);
  }

  /** Where more of it can be read; `path` is that of its run, null if it may not be read. */
  from(path, taskId) {
    this.path = path;
    this.taskId = taskId;
    show(this.earlier, Boolean(path));
    show(this.download, Boolean(path));
  }

  /** Show the last lines that came with the run. Lines that a reader has loaded since remain. */
  tail(lines) {
    if (this.loaded || (this.given && this.given.join("\n") === lines.join("\n"))) return;
    this.given = lines;
    this.before = undefined;
    this.#set(lines.map(plain));
    this.#say();
    this.end();
  }

  /** Read the end of the log. */
  async read() {
    const answer = await this.#get({});
    if (!answer) return;
    this.loaded = true;
    this.before = answer.before ?? null;
    this.#set(answer.lines.map(plain));
    this.#say();
    this.end();
  }

  end() {
    this.box.scrollTop = this.box.scrollHeight;
  }

  async #earlier() {
    if (this.before === undefined) {
      const known = this.lines.length;
      await this.read();
      if (this.lines.length > known || !this.before) return;
    }
    const answer = this.before && (await this.#get({ before: this.before }));
    if (!answer) return;
    const height = this.box.scrollHeight - this.box.scrollTop;
    this.before = answer.lines.length ? (answer.before ?? null) : null;
    this.#set([...answer.lines.map(plain), ...this.lines]);
    this.box.scrollTop = this.box.scrollHeight - height; // the lines in view stay in view
    this.#say();
    announce(`${f.number(answer.lines.length)} earlier lines`);
  }

  async #download() {
    const pages = [];
    let before = null;
    for (let page = 0; page < DOWNLOAD_PAGES; page += 1) {
      const answer = await this.#get({ limit: DOWNLOAD_EVENTS, ...(before ? { before } : {}) });
      if (!answer) return;
      if (answer.lines.length) pages.unshift(answer.lines.map(plain).join("\n"));
      before = answer.before;
      if (!before || !answer.lines.length) break;
    }
    const address = URL.createObjectURL(new Blob([`${pages.join("\n")}\n`], { type: "text/plain" }));
    h("a", { href: address, download: `${this.name.replace(/[^\w.-]+/g, "_")}.log` }).click();
    setTimeout(() => URL.revokeObjectURL(address), 10_000);
    setText(this.status, before && pages.length === DOWNLOAD_PAGES ? "The end of the log was downloaded; its beginning is in CloudWatch." : "The log was downloaded.");
  }

  async #get(query) {
    if (this.busy || !this.path) return null;
    this.busy = true;
    setAttr(this.box, "aria-busy", "true");
    setText(this.status, "Loading …");
    try {
      return (await get(logPath(this.path, this.taskId, query))).body;
    } catch (error) {
      if (!(error instanceof ApiError)) throw error;
      setText(this.status, `The log cannot be read: ${error.message}`);
      return null;
    } finally {
      this.busy = false;
      setAttr(this.box, "aria-busy", null);
    }
  }

  #set(lines) {
    this.lines = lines;
    const cause = causeOf(lines);
    this.marked = cause?.index ?? null;
    this.box.replaceChildren(...lines.map((line, index) => {
      const mark = index === this.marked;
      return h("span", { class: mark ? "line likely" : "line" }, `${line}\n`, mark ? h("span", { class: "sr" }, `(likely cause: ${cause.why})`) : null);
    }));
    show(this.cause, Boolean(cause));
    setText(this.cause, cause ? `Likely cause: ${cause.why}, line ${f.number(cause.index + 1)} of ${f.number(lines.length)}` : "");
    show(this.copy, lines.length > 0);
    show(this.box, lines.length > 0);
    this.#find();
  }

  #say() {
    const count = `${f.number(this.lines.length)} ${this.lines.length === 1 ? "line" : "lines"}`;
    const end = this.before === null;
    setText(this.status, !this.lines.length ? (this.before ? "No line in the latest part of the log." : "No log lines.") : end ? `The whole log: ${count}.` : `The last ${count}.`);
    show(this.earlier, Boolean(this.path) && !end);
  }

  #find() {
    for (const index of this.hits) this.box.childNodes[index]?.classList.remove("hit");
    this.hits = hits(this.lines, this.search.value);
    for (const index of this.hits) this.box.childNodes[index].classList.add("hit");
    this.at = this.hits.length;
    show(this.next, this.hits.length > 0);
    if (this.search.value.trim()) {
      setText(this.status, this.hits.length ? `${f.number(this.hits.length)} matching ${this.hits.length === 1 ? "line" : "lines"}` : "No line matches. Earlier lines may.");
      this.#step(-1); // the last match is the nearest to the end
    } else if (this.given || this.loaded) this.#say();
  }

  #step(by) {
    if (!this.hits.length) return;
    this.at = (this.at + by + this.hits.length) % this.hits.length;
    this.#into(this.hits[this.at]);
    setText(this.status, `Match ${f.number(this.at + 1)} of ${f.number(this.hits.length)}`);
  }

  #keys(event) {
    if (event.key !== "Enter") return;
    event.preventDefault();
    this.#step(event.shiftKey ? -1 : 1);
  }

  #toCause() {
    if (this.marked !== null) this.#into(this.marked);
    this.box.focus();
  }

  /** Scroll the box, not the page. */
  #into(index) {
    const line = this.box.childNodes[index];
    this.box.scrollTop = line.offsetTop - this.box.offsetTop - this.box.clientHeight / 2;
  }
}

/** The one dialog in which any log opens. */
export class LogDialog {
  constructor() {
    this.title = h("h2", { id: "log-title" });
    this.place = h("div", {});
    this.link = h("span", {});
    this.again = h("button", { type: "button", class: "quiet", onclick: () => this.log?.read() }, "Reload");
    this.node = h("dialog", { class: "dialog", "aria-labelledby": "log-title", "data-testid": "log", onclick: (event) => event.target === this.node && this.node.close() },
      h("div", { class: "inner" },
        h("div", { class: "row" }, this.title, h("span", { class: "spring" }), this.link, this.again,
          h("button", { type: "button", class: "quiet", onclick: () => this.node.close() }, "Close")),
        this.place));
  }

  /** `log`: {name, path, taskId?, url?} */
  open({ name, path, taskId = null, url = null }) {
    this.log = new LogBox(name);
    this.log.from(path, taskId);
    setText(this.title, `Log of ${name}`);
    this.link.replaceChildren(...[linkOut("CloudWatch", url)].filter(Boolean));
    this.place.replaceChildren(this.log.node);
    this.node.showModal();
    this.log.read();
  }
}
