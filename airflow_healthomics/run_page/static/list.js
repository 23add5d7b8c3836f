// SPDX-FileCopyrightText: The airflow-healthomics authors
// SPDX-License-Identifier: Apache-2.0

// The runs of a DAG run: which task has which. The list is made without a call to AWS, so it knows no states.

import { h, keyed, setText, show } from "./dom.js";
import * as f from "./format.js";

const keyOf = ({ taskId, mapIndex }) => `${taskId} ${mapIndex}`;

/** The items of both, each task once, as the first tells of it: pages overlap if tasks come in between. */
export function merged(items = [], others = []) {
  const known = new Set(items.map(keyOf));
  return [...items, ...others.filter((item) => !known.has(keyOf(item)))];
}

export class ListView {
  /** `open(item)` shows an item, `more()` loads further ones. */
  constructor({ open, more }) {
    this.open = open;
    this.rows = new Map();
    this.items = [];
    this.title = h("h1", {}, "HealthOmics runs");
    this.note = h("p", { class: "sub" });
    this.search = h("input", { type: "search", placeholder: "Filter by task, name or id", "aria-label": "Filter runs", oninput: () => this.render() });
    this.list = h("ul", { class: "runs", "aria-label": "Runs of this DAG run" });
    this.empty = h("p", { class: "empty", hidden: true });
    this.moreButton = h("button", { type: "button", class: "quiet", hidden: true, onclick: more }, "Show more");
    this.tools = h("div", { class: "tools" }, this.search);
    this.node = h("article", { "data-testid": "runs" }, h("header", { class: "head" }, this.title, this.note), this.tools, this.list, this.empty, this.moreButton);
  }

  /** `total` is the server's count, which what tells of no run is part of; `more`: whether there are further pages. */
  update({ items, total: counted, more }) {
    const total = more ? counted : items.length;
    this.items = items;
    this.total = total;
    setText(this.note, total ? `${f.number(total)} ${total === 1 ? "task" : "tasks"} of this DAG run started a run or a batch. Choose one to see its state.` : "");
    show(this.tools, total > 5);
    show(this.moreButton, more);
    setText(this.moreButton, `Show more (${f.number(items.length)} of ${f.number(total)})`);
    this.render();
  }

  render() {
    const wanted = this.search.value.trim().toLowerCase();
    const shown = this.items.filter((item) => [item.taskId, item.name, item.id].some((text) => (text ?? "").toLowerCase().includes(wanted)));
    keyed(this.list, this.rows, shown, keyOf, () => {
      const entry = { task: h("strong"), index: h("span", { class: "sub" }), what: h("span", { class: "what" }), id: h("span", { class: "mono" }) };
      const button = h("button", { type: "button", onclick: () => this.open(entry.item) }, h("span", { class: "who" }, entry.task, entry.index), h("span", { class: "run" }, entry.what, entry.id));
      entry.button = button;
      entry.node = h("li", {}, button);
      return entry;
    }, (entry, item) => {
      entry.item = item;
      setText(entry.task, item.taskId);
      setText(entry.index, item.mapIndex >= 0 ? ` [${item.mapIndex}]` : "");
      setText(entry.what, [item.kind === "batch" ? "Batch" : "Run", item.name].filter(Boolean).join(" "));
      setText(entry.id, item.id);
    });
    show(this.list, shown.length > 0);
    show(this.empty, !shown.length);
    setText(this.empty, this.items.length ? "No run matches the filter." : "This DAG run has no HealthOmics run. If a task starts one, it appears here.");
  }

  get name() {
    return "HealthOmics runs";
  }

  focus(key) {
    this.rows.get(key)?.button.focus();
  }

  tick() {}
}
