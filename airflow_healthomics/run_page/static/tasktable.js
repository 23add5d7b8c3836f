// SPDX-FileCopyrightText: The airflow-healthomics authors
// SPDX-License-Identifier: Apache-2.0

// The tasks of a run: found by name and state, sorted, and folded by process.

import { WholeName } from "./cutname.js";
import { h, icon, keyed, setAttr, setText, show } from "./dom.js";
import * as f from "./format.js";
import { Rows } from "./rows.js";
import { TaskRow } from "./taskrow.js";
import { COLUMNS, groupsOf, modelsOf, sorted } from "./tasks.js";
import { Timeline } from "./timeline.js";
import { CountsBar } from "./widgets.js";

/** From this many tasks on, the tasks of a process start out folded into one row. */
const GROUP_FROM = 200;

/** Of a row, as in page.css. */
const ROW_HEIGHT = 28;

export class TaskTable {
  /** `openLog(task)` opens the log of a task. */
  constructor({ openLog = () => {} } = {}) {
    this.openLog = openLog;
    this.models = [];
    this.sort = null; // until the reader decides
    this.states = new Set();
    this.open = new Set();
    this.grouped = null; // until the number of tasks or the reader decides
    this.pills = new Map();
    this.timeline = new Timeline();
    this.whole = new WholeName();
    this.#build();
  }

  #build() {
    this.counts = new CountsBar("Tasks created so far, by state");
    this.search = h("input", { type: "search", placeholder: "Filter by name", "aria-label": "Filter tasks by name", oninput: () => this.render() });
    this.pillBox = h("fieldset", { class: "pills" }, h("legend", { class: "sr" }, "Show only tasks in state"));
    this.pillList = h("div");
    this.pillBox.append(this.pillList);
    this.group = h("button", { type: "button", class: "quiet", "aria-pressed": "false", onclick: () => this.#toggleGroups() }, "Group by process");
    this.slowest = h("button", { type: "button", class: "quiet", "aria-pressed": "false", onclick: () => this.#toggleSlowest() }, "Slowest first");
    this.shown = h("span", { class: "sub", role: "status", "data-testid": "shown" });
    this.heads = new Map();
    const head = h("tr", { role: "row", "aria-rowindex": "1" }, COLUMNS.map((column) => this.#head(column)));
    this.body = h("tbody", { role: "rowgroup", onclick: (event) => this.#click(event) });
    this.table = h("table", { role: "table", "aria-label": "Tasks" }, h("thead", { role: "rowgroup" }, head), this.body);
    this.region = h("div", { class: "scroll", role: "region", tabindex: "0", "aria-label": "Tasks, scrollable" }, this.table);
    this.rows = new Rows({
      region: this.region, body: this.body, height: ROW_HEIGHT,
      create: (model) => new TaskRow(model, this.context.logs), fill: (row, model) => row.fill(model, this),
      kindOf: (model) => (model.of ? "process" : "task"),
    });
    this.whole.follow(this.body);
    this.empty = h("p", { class: "empty", hidden: true });
    this.truncated = h("p", { class: "sub", hidden: true });
    this.legend = h("span", { class: "key" },
      h("span", {}, h("i", { class: "swatch queued" }), "queued"), h("span", {}, h("i", { class: "swatch ran" }), "running, coloured by state"));
    this.tools = h("div", { class: "tools" }, this.search, this.pillBox, h("span", { class: "spring" }), this.group, this.slowest);
    this.under = h("div", { class: "under" }, this.shown, this.legend);
    this.node = h("section", { class: "card tasks", "aria-labelledby": "tasks-title", "data-testid": "tasks" },
      h("div", { class: "row" }, h("h2", { id: "tasks-title" }, "Tasks"), this.counts.node), this.tools, this.truncated, this.region, this.empty, this.under, this.whole.node);
  }

  #head(column) {
    const cell = h("th", { class: `c-${column.id}${column.num ? " num" : ""}`, role: "columnheader", scope: "col" });
    if (column.value) {
      cell.append(h("button", { type: "button", onclick: () => this.#sortBy(column) }, column.label, h("span", { class: "arrow", "aria-hidden": "true" })));
    } else cell.append(h("span", { class: "sr" }, column.label), this.timeline.node);
    this.heads.set(column.id, cell);
    return cell;
  }

  /** What went wrong comes first in a run that failed, else what began first. */
  get order() {
    return this.sort ?? { by: this.context.failed ? "state" : "start", down: false };
  }

  #sortBy({ id, down = false }) {
    const { by, down: was } = this.order;
    this.#sorted(by === id ? { by: id, down: !was } : { by: id, down });
  }

  #toggleSlowest() {
    this.#sorted(this.order.by === "duration" && this.order.down ? { by: "start", down: false } : { by: "duration", down: true });
  }

  #sorted(sort) {
    this.sort = sort;
    this.region.scrollTop = 0;
    this.render();
  }

  #toggleGroups() {
    this.grouped = !this.grouped;
    this.region.scrollTop = 0;
    this.render();
  }

  #click(event) {
    const main = event.target.closest("button[data-key]");
    const row = main && this.rows.cache.get(main.dataset.key);
    if (!row) return;
    const { model } = row;
    if (!model.of) {
      this.openLog({ taskId: model.id, name: model.name });
      return;
    }
    if (!this.open.delete(model.key)) this.open.add(model.key);
    this.render();
  }

  /** `context`: {active, failed, logs, now, from, until, truncated, unknown}, times in milliseconds. */
  update(tasks, context) {
    if (this.context && this.context.logs !== context.logs) this.rows.clear();
    this.context = context;
    this.now = context.now;
    this.models = modelsOf(tasks);
    const counts = {};
    for (const { status } of this.models) counts[status] = (counts[status] ?? 0) + 1;
    if (this.grouped === null && tasks.length >= GROUP_FROM) {
      this.grouped = groupsOf(this.models, this.now).length < tasks.length / 2;
    }
    this.counts.update(counts, tasks.length);
    this.#pillsFor(counts);
    setAttr(this.table, "data-gpus", this.models.some((m) => m.gpus) ? "yes" : null);
    setAttr(this.table, "data-tags", this.models.some((m) => m.tag) ? "yes" : null);
    setAttr(this.table, "data-cached", this.models.some((m) => m.cached) ? "yes" : null);
    const some = this.models.length > 0;
    for (const part of [this.counts.node, this.tools, this.region, this.under]) show(part, some);
    show(this.truncated, context.truncated);
    setText(this.truncated, context.truncated ? `Only ${f.number(tasks.length)} tasks are listed here; the run has more.` : "");
    this.render();
  }

  #pillsFor(counts) {
    const states = f.byState({ ...Object.fromEntries([...this.states].map((status) => [status, 0.1])), ...counts });
    keyed(this.pillList, this.pills, states, ([status]) => status, ([status]) => {
      const count = h("b");
      const box = h("input", { type: "checkbox", onchange: () => {
        if (box.checked) this.states.add(status);
        else this.states.delete(status);
        this.render();
      } });
      return { node: h("label", { class: "pill", "data-state": f.kin(status) }, box, icon(f.kin(status)), h("span", {}, `${f.stateWord(status)} `), count), count };
    }, ({ count }, [, value]) => setText(count, f.number(Math.floor(value))));
  }

  render() {
    const { now, order } = this;
    const wanted = this.search.value.trim().toLowerCase();
    const filtered = this.models.filter((m) =>
      (!this.states.size || this.states.has(m.status)) && (!wanted || m.name.toLowerCase().includes(wanted) || m.id === wanted));
    this.timeline.scale(this.models, this.context, now, this.table);
    this.#tickNow();
    let rows = [];
    if (this.grouped) {
      for (const model of sorted(groupsOf(filtered, now), order, now)) {
        rows.push(model);
        if (this.open.has(model.key)) rows.push(...sorted(model.of, order, now).map((m) => ({ ...m, child: true })));
      }
    } else rows = sorted(filtered, order, now);
    setAttr(this.table, "data-grouped", this.grouped ? "yes" : null);
    setAttr(this.table, "aria-rowcount", rows.length + 1);
    this.rows.set(rows);
    for (const [id, cell] of this.heads) {
      setAttr(cell, "aria-sort", order.by === id ? (order.down ? "descending" : "ascending") : null);
    }
    setAttr(this.slowest, "aria-pressed", order.by === "duration" && order.down);
    setAttr(this.group, "aria-pressed", Boolean(this.grouped));
    const all = this.models.length;
    setText(this.shown, filtered.length === all ? "" : `Showing ${f.number(filtered.length)} of ${f.number(all)} tasks`);
    show(this.empty, !rows.length);
    setText(this.empty, all ? "No task matches the filter." : this.context.unknown ? "The tasks of the run could not be read." : this.context.active ? "No task has been created yet." : "The run has no tasks.");
    show(this.region, rows.length > 0);
  }

  #tickNow() {
    if (this.context.active) this.table.style.setProperty("--now", this.timeline.share(this.now - this.timeline.begin));
    setAttr(this.table, "data-live", this.context.active ? "yes" : null);
  }

  /** Let the living rows grow, without asking the server. */
  tick(now) {
    if (!this.context?.active || !this.models.length) return;
    this.now = now;
    if (now > this.timeline.end) {
      this.render();
      return;
    }
    this.#tickNow();
    for (const row of this.rows.shown) if (row.live) row.bar(now, this.timeline);
  }
}
