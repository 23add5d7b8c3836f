// SPDX-FileCopyrightText: The airflow-healthomics authors
// SPDX-License-Identifier: Apache-2.0

// The runs and batches of a DAG run with their states, in the order of the server: failures first.

import { announce, h, keyed, setText, show } from "./dom.js";
import * as f from "./format.js";
import { Badge, CountsBar, Notices } from "./widgets.js";

const keyOf = ({ taskId, mapIndex }) => `${taskId} ${mapIndex}`;

/** Why a run is not a success, in a few words. */
export function reasonOf({ status, failureReason, counts = {}, totalRuns }) {
  const failed = (counts.FAILED ?? 0) + (counts.NOT_STARTED ?? 0);
  const total = totalRuns ?? Object.values(counts).reduce((a, b) => a + b, 0);
  const runs = failed ? `${f.number(failed)} of ${f.number(total)} runs failed` : "";
  const reason = f.kin(status) === "FAILED" || status === "CANCELLED" ? failureReason : "";
  return [runs, reason].filter(Boolean).join(": ");
}

/** Milliseconds from the creation to the end, or to now. */
export function elapsed({ status, creationTime, stopTime }, now) {
  const from = f.time(creationTime);
  const until = f.time(stopTime) ?? (status && f.isOver(status) ? null : now);
  return from === null || until === null ? null : until - from;
}

export class ListView {
  /** `open(item)` shows an item, `more()` loads further ones. */
  constructor({ open, more }) {
    this.open = open;
    this.rows = new Map();
    this.items = [];
    this.title = h("h1", {}, "HealthOmics runs");
    this.note = h("p", { class: "sub" });
    this.notices = new Notices();
    this.bar = new CountsBar("Runs by state");
    this.search = h("input", { type: "search", placeholder: "Filter by task, state, name or id", "aria-label": "Filter runs", oninput: () => this.render() });
    this.list = h("ul", { class: "runs", "aria-label": "Runs of this DAG run, failures first" });
    this.empty = h("p", { class: "empty", hidden: true });
    this.moreButton = h("button", { type: "button", class: "quiet", hidden: true, onclick: more }, "Show more");
    this.tools = h("div", { class: "tools" }, this.search);
    this.node = h("article", { "data-testid": "runs" }, h("header", { class: "head" }, this.title, this.note), this.notices.node, this.bar.node, this.tools, this.list, this.empty, this.moreButton);
  }

  update({ items, total, unread = 0, notices }, now) {
    this.#news(items);
    this.items = items;
    this.total = total;
    this.now = now;
    const counted = {};
    for (const { status } of items) if (status) counted[status] = (counted[status] ?? 0) + 1;
    const words = f.byState(counted).map(([status, count]) => `${f.number(count)} ${f.stateWord(status).toLowerCase()}`);
    const many = items.length < total ? ` Of the first ${f.number(items.length)}:` : "";
    setText(this.note, total ? `${f.number(total)} ${total === 1 ? "run or batch" : "runs and batches"}.${many} ${words.join(", ") || "Their states are being read"}${unread && words.length ? `; ${f.number(unread)} not read yet` : ""}` : "");
    this.notices.update(notices);
    this.bar.update(counted, items.length);
    show(this.bar.node, words.length > 0);
    show(this.tools, total > 5);
    show(this.moreButton, items.length < total);
    setText(this.moreButton, `Show more (${f.number(items.length)} of ${f.number(total)})`);
    this.render();
  }

  /** Say which runs failed since the previous answer. */
  #news(items) {
    const before = new Map(this.items.map((item) => [keyOf(item), item.status]));
    const failed = items.filter((item) => item.status === "FAILED" && before.has(keyOf(item)) && ![undefined, "FAILED"].includes(before.get(keyOf(item))));
    if (failed.length) announce(failed.length === 1 ? `The run of ${failed[0].taskId} failed` : `${failed.length} runs failed`);
  }

  render() {
    const wanted = this.search.value.trim().toLowerCase();
    const texts = (item) => [item.taskId, item.name, item.id, item.workflowName, item.failureReason, f.stateWord(item.status)];
    const shown = this.items.filter((item) => !wanted || texts(item).some((text) => (text ?? "").toLowerCase().includes(wanted)));
    keyed(this.list, this.rows, shown, keyOf, () => this.#row(), (row, item) => this.#fill(row, item));
    show(this.list, shown.length > 0);
    show(this.empty, !shown.length);
    setText(this.empty, this.items.length ? "No run matches the filter." : "This DAG run has no HealthOmics run. If a task starts one, it appears here.");
  }

  #row() {
    const row = { badge: new Badge(), task: h("strong"), workflow: h("span"), what: h("span", { class: "sub" }), id: h("span", { class: "mono" }), time: h("span", { class: "time" }), reason: h("span", { class: "why" }) };
    row.button = h("button", { type: "button", onclick: () => this.open(row.item) },
      h("span", { class: "state" }, row.badge.node),
      h("span", { class: "who" }, row.task, row.reason),
      h("span", { class: "run" }, row.workflow, h("span", { class: "sub" }, row.what, " ", row.id)),
      row.time);
    row.node = h("li", {}, row.button);
    return row;
  }

  #fill(row, item) {
    row.item = item;
    row.badge.set(item.status ?? "UNREAD", item.status ? f.stateWord(item.status) : "Not read yet");
    setText(row.task, item.mapIndex >= 0 ? `${item.taskId} [${item.mapIndex}]` : item.taskId);
    setText(row.reason, reasonOf(item));
    show(row.reason, Boolean(row.reason.textContent));
    setText(row.workflow, item.workflowName ?? (item.workflowId ? `Workflow ${item.workflowId}` : ""));
    setText(row.what, [item.kind === "batch" ? `Batch${item.totalRuns ? ` of ${f.number(item.totalRuns)}` : ""}` : "Run", item.name].filter(Boolean).join(" "));
    setText(row.id, item.id);
    this.#time(row);
  }

  #time(row) {
    const ms = elapsed(row.item, this.now);
    setText(row.time, ms === null ? "" : f.duration(ms));
  }

  get name() {
    return "HealthOmics runs";
  }

  focus(key) {
    this.rows.get(key)?.button.focus();
  }

  /** Let the times of active runs grow. */
  tick(now) {
    this.now = now;
    for (const row of this.rows.values()) if (row.item.status && !f.isOver(row.item.status)) this.#time(row);
  }
}
