// SPDX-FileCopyrightText: The airflow-healthomics authors
// SPDX-License-Identifier: Apache-2.0

// All runs of a batch, filtered, sorted and paged by the server.

import { ApiError, get } from "./api.js";
import { announce, h, keyed, setAttr, setText, show } from "./dom.js";
import * as f from "./format.js";
import { copyButton, linkOut } from "./links.js";
import { Badge, Notices, setTime } from "./widgets.js";

export const ROWS = 50;
const RETRY_SECONDS = 20;
const TYPING_MS = 300;

const COLUMNS = [
  { id: "runSettingId", title: "Run setting", sort: true },
  { id: "status", title: "State", sort: true },
  { id: "run", title: "Run" },
  { id: "startTime", title: "Started", sort: true },
  { id: "duration", title: "Duration", sort: true },
  { id: "outputs", title: "Outputs" },
];

const POLICY_WORDS = { met: "Met", open: "Open", missed: "Cannot be met" };

/** The success policy as a tile, or null. */
export function policyTile(policy) {
  if (!policy) return null;
  const { text, state, required, completed, batches = 1 } = policy;
  if (!state) return { label: "Success policy", value: text, sub: "runs of earlier attempts count too" };
  const where = batches > 1 ? `, in ${f.number(batches)} batches` : "";
  return { label: "Success policy", value: POLICY_WORDS[state], sub: `${text}: ${f.number(completed)} completed${where}, ${f.number(required)} required` };
}

export class BatchRuns {
  /** `path` of the task instance's API; `onPolicy(policy)` receives the success policy. */
  constructor({ path, openRun, onPolicy }) {
    Object.assign(this, { path, openRun, onPolicy, offset: 0, status: "", sort: "runSettingId", down: false, dueAt: 0, rows: new Map(), options: new Map(), question: 0 });
    this.search = h("input", { type: "search", placeholder: "Run setting or run id", "aria-label": "Filter runs by their setting or id", oninput: () => this.#typed() });
    this.states = h("select", { "aria-label": "Filter runs by state", onchange: () => this.#request({ status: this.states.value }) });
    this.download = h("a", { class: "quiet", href: `${path}/runs.csv`, download: true, hidden: true }, "Download CSV");
    this.shown = h("span", { class: "sub", "aria-live": "polite" });
    this.back = h("button", { type: "button", class: "quiet", onclick: () => this.#turn(-ROWS) }, "Previous");
    this.next = h("button", { type: "button", class: "quiet", onclick: () => this.#turn(ROWS) }, "Next");
    this.notices = new Notices();
    this.heads = new Map();
    this.body = h("tbody");
    this.table = h("table", { class: "plain", "aria-label": "All runs" }, h("thead", {}, h("tr", {}, COLUMNS.map((column) => this.#head(column)))), this.body);
    this.empty = h("p", { class: "empty", hidden: true });
    this.region = h("div", { class: "scroll", role: "region", tabindex: "0", "aria-label": "All runs, scrollable" }, this.table);
    this.node = h("section", { class: "card", "aria-labelledby": "all-runs-title", "data-testid": "all-runs" },
      h("h2", { id: "all-runs-title" }, "All runs"),
      h("div", { class: "tools" }, this.search, this.states, h("span", { class: "spring" }), this.download),
      this.notices.node, this.region, this.empty,
      h("div", { class: "tools pages" }, this.shown, h("span", { class: "spring" }), this.back, this.next));
  }

  #head({ id, title, sort }) {
    const cell = h("th", { scope: "col" });
    if (!sort) {
      cell.append(title);
      return cell;
    }
    cell.append(h("button", { type: "button", onclick: () => this.#request({ sort: id, down: this.sort === id && !this.down }) }, title, h("span", { class: "arrow" })));
    this.heads.set(id, cell);
    return cell;
  }

  #typed() {
    clearTimeout(this.typing);
    this.typing = setTimeout(() => this.#request({}), TYPING_MS);
  }

  #turn(by) {
    const button = by > 0 ? this.next : this.back;
    if (button.getAttribute("aria-disabled") !== "true") this.#request({ offset: Math.max(0, this.offset + by) });
  }

  /** Request another part: the first page unless there is an `offset`. */
  #request({ offset = 0, ...more }) {
    Object.assign(this, more, { offset });
    this.load();
  }

  get query() {
    const query = new URLSearchParams({ limit: ROWS, offset: this.offset, sort: this.sort, descending: this.down });
    if (this.status) query.set("status", this.status);
    if (this.search.value.trim()) query.set("search", this.search.value.trim());
    return query.toString();
  }

  async load() {
    const question = ++this.question; // a slower answer to an earlier question is dropped
    this.dueAt = Infinity;
    try {
      const { body } = await get(`${this.path}/runs?${this.query}`);
      if (question === this.question) this.update(body);
    } catch (error) {
      if (!(error instanceof ApiError)) throw error;
      if (question !== this.question) return;
      this.notices.update([`The runs cannot be read now: ${error.detail || error.message}`]);
      this.dueAt = error.passing ? Date.now() + Math.max(error.retryAfter, RETRY_SECONDS * 1000) : Infinity;
    }
  }

  update(data) {
    this.dueAt = data.pollSeconds > 0 ? Date.now() + data.pollSeconds * 1000 : Infinity;
    const { rows, matching, total, read } = data;
    this.onPolicy(data.policy);
    this.notices.update(data.notices);
    this.#statesOf(data.counts);
    keyed(this.body, this.rows, rows, (row) => row.runSettingId, () => this.#row(), (row, item) => this.#fill(row, item));
    for (const [id, cell] of this.heads) setAttr(cell, "aria-sort", this.sort === id ? (this.down ? "descending" : "ascending") : null);
    const filtered = this.status || this.search.value.trim();
    const reading = data.isComplete ? (read < total ? `; only ${f.number(read)} of ${f.number(total)} runs can be listed` : "") : `; ${f.number(read)} of ${f.number(total)} runs are read so far`;
    const range = rows.length ? `${f.number(this.offset + 1)} to ${f.number(this.offset + rows.length)} of ${f.number(matching)}${filtered ? " that match" : ""}` : "";
    setText(this.shown, range + (rows.length ? reading : reading.slice(2)));
    show(this.region, rows.length > 0);
    show(this.empty, !rows.length);
    setText(this.empty, filtered ? "No run matches the filter." : "No run is listed yet.");
    show(this.download, data.isComplete && total > 0);
    setAttr(this.back, "aria-disabled", this.offset === 0 ? "true" : null); // not disabled, which would take the focus away
    setAttr(this.next, "aria-disabled", this.offset + rows.length >= matching ? "true" : null);
    if (this.matching !== undefined && this.matching !== matching && filtered) announce(`${matching} runs match`);
    this.matching = matching;
  }

  #statesOf(counts) {
    const states = f.byState({ ...(this.status ? { [this.status]: 0.1 } : {}), ...counts });
    keyed(this.states, this.options, [["", null], ...states], ([status]) => status, ([status]) => ({ node: h("option", { value: status }) }), ({ node }, [status, count]) =>
      setText(node, status ? `${f.stateWord(status)} (${f.number(Math.floor(count))})` : "All states"));
    this.states.value = this.status;
  }

  #row() {
    const row = { setting: h("th", { scope: "row", class: "mono" }), badge: new Badge(), why: h("p", { class: "sub" }), started: h("time"), duration: h("td"), id: h("span", { class: "mono" }), outputs: h("td") };
    row.open = h("button", { type: "button", class: "quiet", onclick: () => this.openRun(row.item.id) }, "Open run ", row.id);
    row.node = h("tr", {}, row.setting, h("td", {}, row.badge.node, row.why), h("td", {}, row.open), h("td", {}, row.started), row.duration, row.outputs);
    return row;
  }

  #fill(row, item) {
    row.item = item;
    setText(row.setting, item.runSettingId);
    row.badge.set(item.status ?? "UNREAD", item.status ? f.stateWord(item.status) : "Not read yet");
    setText(row.why, item.failureReason);
    show(row.why, Boolean(item.failureReason));
    show(row.open, Boolean(item.id));
    setText(row.id, item.id);
    if (item.id) setAttr(row.open, "data-run", item.id);
    setTime(row.started, f.time(item.startTime));
    const [from, until] = [f.time(item.startTime), f.time(item.stopTime)];
    setText(row.duration, from !== null && until !== null ? f.duration(until - from) : "–");
    if (row.uri === item.runOutputUri) return;
    row.uri = item.runOutputUri;
    row.outputs.replaceChildren(...(item.runOutputUri ? [linkOut("S3", item.outputsUrl), copyButton("the S3 URI", () => row.uri)].filter(Boolean) : []));
  }

  /** Once a second while it is seen. */
  tick() {
    if (Date.now() >= this.dueAt) this.load();
  }
}
