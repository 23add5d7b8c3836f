// SPDX-FileCopyrightText: The airflow-healthomics authors
// SPDX-License-Identifier: Apache-2.0

// The tasks of a run: a real table, each row with its bar in a cell. Rows outside the window cost no layout
// (content-visibility), and an update writes only what has changed.

import { h, icon, keyed, setAttr, setText, show } from "./dom.js";
import * as f from "./format.js";
import { Badge, CountsBar, setTime } from "./widgets.js";

/** From this many tasks on, the copies of a task start out folded into one row. */
const GROUP_FROM = 200;

const NAMES = new Intl.Collator(undefined, { numeric: true, sensitivity: "base" });

/** What the table shows of a task, with times in milliseconds. */
export function modelOf(task) {
  return {
    key: `t:${task.taskId}`,
    name: task.name || task.taskId || "–",
    id: task.taskId,
    status: task.status,
    created: f.time(task.creationTime),
    started: f.time(task.startTime),
    stopped: f.time(task.stopTime),
    cpus: task.cpus ?? null,
    memory: task.memory ?? null,
    gpus: task.gpus || null,
    instance: task.instanceType ?? null,
    cached: task.cacheHit ? 1 : 0,
  };
}

export const isLive = (model) => !f.ended(model.status) && model.stopped === null;

/** Milliseconds in the queue and at work, null where that has not begun or is not known. */
export function phases(model, now) {
  const end = model.stopped ?? (isLive(model) ? now : null);
  const ran = model.started === null || end === null ? null : Math.max(0, end - model.started);
  const waitedUntil = model.started ?? end;
  const queued = model.created === null || waitedUntil === null ? null : Math.max(0, waitedUntil - model.created);
  return { queued, ran };
}

const only = (values) => (new Set(values).size === 1 ? values[0] : null);
const least = (values) => values.reduce((a, b) => (a === null || (b !== null && b < a) ? b : a), null);
const most = (values) => values.reduce((a, b) => (a === null || (b !== null && b > a) ? b : a), null);

/** Fold the copies of a task into one model, with the longest times and the most resources of any. */
export function groupsOf(models, now) {
  const members = new Map();
  for (const model of models) {
    const base = f.baseName(model.name);
    if (!members.has(base)) members.set(base, []);
    members.get(base).push(model);
  }
  return [...members].map(([name, of]) => {
    if (of.length === 1) return of[0];
    const counts = {};
    for (const { status } of of) counts[status] = (counts[status] ?? 0) + 1;
    const live = of.some(isLive);
    return {
      key: `g:${name}`,
      name,
      of,
      counts,
      live,
      status: f.byState(counts)[0][0],
      usual: counts.RUNNING ? "RUNNING" : Object.entries(counts).sort((a, b) => b[1] - a[1])[0][0],
      created: least(of.map((m) => m.created)),
      started: least(of.map((m) => m.started)),
      stopped: live ? null : most(of.map((m) => m.stopped)),
      ran: most(of.map((m) => phases(m, now).ran)),
      queued: most(of.map((m) => phases(m, now).queued)),
      cpus: most(of.map((m) => m.cpus)),
      memory: most(of.map((m) => m.memory)),
      gpus: most(of.map((m) => m.gpus)),
      instance: only(of.map((m) => m.instance).filter(Boolean)),
      instances: new Set(of.map((m) => m.instance).filter(Boolean)).size,
      cached: of.reduce((sum, m) => sum + m.cached, 0),
    };
  });
}

const times = (model, now) => (model.of ? model : phases(model, now));

/** `down`: the first click sorts downwards, since the most is what one looks for. */
const COLUMNS = [
  { id: "name", label: "Task", value: (m) => m.name },
  { id: "state", label: "State", value: (m) => f.RUN_STATES.indexOf(m.status) },
  { id: "timeline", label: "Timeline" },
  { id: "duration", label: "Duration", num: true, down: true, value: (m, now) => times(m, now).ran },
  { id: "queue", label: "Queued", num: true, down: true, value: (m, now) => times(m, now).queued },
  { id: "start", label: "Started", num: true, value: (m) => m.started ?? m.created },
  { id: "cpus", label: "CPUs", num: true, down: true, value: (m) => m.cpus },
  { id: "memory", label: "Memory", num: true, down: true, value: (m) => m.memory },
  { id: "gpus", label: "GPUs", num: true, down: true, value: (m) => m.gpus },
  { id: "instance", label: "Instance", value: (m) => m.instance },
  { id: "cache", label: "Cache", down: true, value: (m) => m.cached },
];

const BY_ID = Object.fromEntries(COLUMNS.map((column) => [column.id, column]));

/** Sort by a column, what has no value last, then by start and name. */
export function sorted(models, { by, down }, now) {
  const { value } = BY_ID[by];
  const sign = down ? -1 : 1;
  const compare = (a, b) => (typeof a === "string" ? NAMES.compare(a, b) : a - b);
  return models
    .map((model) => ({ model, value: value(model, now) ?? null }))
    .sort((a, b) => {
      if ((a.value === null) !== (b.value === null)) return a.value === null ? 1 : -1;
      const first = a.value === null ? 0 : sign * compare(a.value, b.value);
      return first || (a.model.created ?? 0) - (b.model.created ?? 0) || NAMES.compare(a.model.name, b.model.name);
    })
    .map(({ model }) => model);
}

const TEMPLATE = h("tr", { role: "row" }, COLUMNS.map(({ id, num }) =>
  h(id === "name" ? "th" : "td", { class: `c-${id}${num ? " num" : ""}`, role: id === "name" ? "rowheader" : "cell", scope: id === "name" ? "row" : null },
    id === "timeline" ? h("span", { class: "track", role: "img" }, h("span", { class: "queued" }), h("span", { class: "ran" })) : null,
    id === "start" ? h("time") : null)));

export class TaskTable {
  /** `openLog(task)` opens the log of a task. */
  constructor({ openLog = () => {} } = {}) {
    this.openLog = openLog;
    this.rows = new Map();
    this.models = [];
    this.sort = { by: "start", down: false };
    this.states = new Set();
    this.open = new Set();
    this.grouped = null; // until the number of tasks or the reader decides
    this.pills = new Map();
    this.#build();
  }

  #build() {
    this.counts = new CountsBar("Tasks by state");
    this.search = h("input", { type: "search", placeholder: "Filter by name", "aria-label": "Filter tasks by name", oninput: () => this.render() });
    this.pillBox = h("fieldset", { class: "pills" }, h("legend", { class: "sr" }, "Show only tasks in state"));
    this.pillList = h("div");
    this.pillBox.append(this.pillList);
    this.group = h("button", { type: "button", class: "quiet", "aria-pressed": "false", onclick: () => this.#toggleGroups() }, "Group by name");
    this.slowest = h("button", { type: "button", class: "quiet", "aria-pressed": "false", onclick: () => this.#toggleSlowest() }, "Slowest first");
    this.shown = h("span", { class: "sub", role: "status", "data-testid": "shown" });
    this.heads = new Map();
    this.axis = h("span", { class: "axis", "aria-hidden": "true" });
    this.ticks = new Map();
    const head = h("tr", { role: "row" }, COLUMNS.map((column) => this.#head(column)));
    this.body = h("tbody", { role: "rowgroup", onclick: (event) => this.#unfold(event) });
    this.table = h("table", { role: "table", "aria-label": "Tasks" }, h("thead", { role: "rowgroup" }, head), this.body);
    this.region = h("div", { class: "scroll", role: "region", tabindex: "0", "aria-label": "Tasks, scrollable" }, this.table);
    this.empty = h("p", { class: "empty", hidden: true });
    this.truncated = h("p", { class: "sub", hidden: true });
    this.legend = h("span", { class: "key" },
      h("span", {}, h("i", { class: "swatch queued" }), "queued"), h("span", {}, h("i", { class: "swatch ran" }), "running, coloured by state"));
    this.tools = h("div", { class: "tools" }, this.search, this.pillBox, h("span", { class: "spring" }), this.group, this.slowest);
    this.under = h("div", { class: "under" }, this.shown, this.legend);
    this.node = h("section", { class: "card", "aria-labelledby": "tasks-title", "data-testid": "tasks" },
      h("h2", { id: "tasks-title" }, "Tasks"), this.counts.node, this.tools, this.truncated, this.region, this.empty, this.under);
  }

  #head(column) {
    const cell = h("th", { class: `c-${column.id}${column.num ? " num" : ""}`, role: "columnheader", scope: "col" });
    if (column.value) {
      cell.append(h("button", { type: "button", onclick: () => this.#sortBy(column) }, column.label, h("span", { class: "arrow", "aria-hidden": "true" })));
    } else cell.append(h("span", { class: "sr" }, column.label), this.axis);
    this.heads.set(column.id, cell);
    return cell;
  }

  #sortBy({ id, down = false }) {
    this.sort = this.sort.by === id ? { by: id, down: !this.sort.down } : { by: id, down };
    this.region.scrollTop = 0;
    this.render();
  }

  #toggleSlowest() {
    const on = this.sort.by === "duration" && this.sort.down;
    this.sort = on ? { by: "start", down: false } : { by: "duration", down: true };
    this.region.scrollTop = 0;
    this.render();
  }

  #toggleGroups() {
    this.grouped = !this.grouped;
    this.render();
  }

  #unfold(event) {
    const key = event.target.closest("button[aria-expanded]")?.dataset.key;
    if (!key) return;
    if (!this.open.delete(key)) this.open.add(key);
    this.render();
  }

  /** `context`: {active, now, from, until, total, truncated}, times in milliseconds. */
  update(tasks, context) {
    this.context = context;
    this.now = context.now;
    this.models = tasks.map(modelOf);
    const counts = {};
    for (const { status } of this.models) counts[status] = (counts[status] ?? 0) + 1;
    this.tally = counts;
    if (this.grouped === null && tasks.length >= GROUP_FROM) {
      this.grouped = groupsOf(this.models, this.now).length < tasks.length / 2;
    }
    this.counts.update(counts, tasks.length);
    this.#pillsFor(counts);
    setAttr(this.table, "data-gpus", this.models.some((m) => m.gpus) ? "yes" : null);
    const some = this.models.length > 0;
    for (const part of [this.counts.node, this.tools, this.region, this.under]) show(part, some);
    show(this.truncated, context.truncated);
    setText(this.truncated, context.truncated ? `Only ${f.number(tasks.length)} of the run's ${f.number(context.total)} tasks are listed here.` : "");
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
    const now = this.now;
    const wanted = this.search.value.trim().toLowerCase();
    const filtered = this.models.filter((m) =>
      (!this.states.size || this.states.has(m.status)) && (!wanted || m.name.toLowerCase().includes(wanted) || m.id === wanted));
    this.#scale();
    let rows = [];
    if (this.grouped) {
      for (const model of sorted(groupsOf(filtered, now), this.sort, now)) {
        rows.push(model);
        if (model.of && this.open.has(model.key)) rows.push(...sorted(model.of, this.sort, now).map((m) => ({ ...m, child: true })));
      }
    } else rows = sorted(filtered, this.sort, now);
    this.live = [];
    keyed(this.body, this.rows, rows, (m) => m.key, (m) => this.#row(m), (row, m) => this.#fill(row, m), true);
    for (const [id, cell] of this.heads) {
      const on = this.sort.by === id;
      setAttr(cell, "aria-sort", on ? (this.sort.down ? "descending" : "ascending") : null);
    }
    setAttr(this.slowest, "aria-pressed", this.sort.by === "duration" && this.sort.down);
    setAttr(this.group, "aria-pressed", Boolean(this.grouped));
    const all = this.models.length;
    setText(this.shown, filtered.length === all ? `${f.number(all)} ${all === 1 ? "task" : "tasks"}` : `Showing ${f.number(filtered.length)} of ${f.number(all)} tasks`);
    show(this.empty, !rows.length);
    setText(this.empty, all ? "No task matches the filter." : this.context.unknown ? "The tasks of the run could not be read." : this.context.active ? "No task has been created yet." : "The run has no tasks.");
    show(this.region, rows.length > 0);
  }

  /** Choose the axis; while the run is active it ends at a tick, so that bars need not move every second. */
  #scale() {
    const { from, until, active } = this.context;
    const begin = least([from, ...this.models.map((m) => m.created ?? m.started)]) ?? this.now;
    const last = active ? this.now : (most([until, ...this.models.map((m) => m.stopped)]) ?? this.now);
    const span = Math.max(last - begin, 10_000);
    const step = f.tickStep(span);
    this.begin = begin;
    this.end = active ? begin + (Math.floor((span * 1.02) / step) + 1) * step : begin + span;
    const scale = `${this.begin} ${this.end}`;
    const moved = scale !== this.scale;
    this.scale = scale; // rows compare it with the one they were drawn for
    this.#tickNow();
    if (!moved) return;
    const ticks = [];
    for (let at = 0; at <= this.end - begin; at += step) ticks.push(at);
    const share = (at) => `${((100 * at) / (this.end - begin)).toFixed(3)}%`;
    keyed(this.axis, this.ticks, ticks, (at) => `${at} ${step}`, (at) => ({ node: h("span", {}, f.tickLabel(at, step)) }), ({ node }, at) => {
      node.style.left = share(at);
      node.classList.toggle("end", at > 0.94 * (this.end - begin));
    });
    this.table.style.setProperty("--tick", share(step));
    setAttr(this.axis, "title", `Time since ${f.dateTime(begin)}`);
  }

  #share(ms) {
    return `${((100 * ms) / (this.end - this.begin)).toFixed(2)}%`;
  }

  #tickNow() {
    if (this.context.active) this.table.style.setProperty("--now", this.#share(this.now - this.begin));
    setAttr(this.table, "data-live", this.context.active ? "yes" : null);
  }

  #row(model) {
    const node = TEMPLATE.cloneNode(true);
    const cells = Object.fromEntries(COLUMNS.map(({ id }, index) => [id, node.children[index]]));
    const row = { node, cells, badge: new Badge(), time: cells.start.firstChild };
    [row.track] = cells.timeline.children;
    [row.queued, row.ran] = row.track.children;
    if (model.of) {
      row.chips = new Map();
      row.label = h("span");
      row.toggle = h("button", { type: "button", class: "fold", "aria-expanded": "false", "data-key": model.key }, icon("chevron"), row.label);
      cells.name.append(row.toggle);
    } else {
      cells.state.append(row.badge.node);
      row.log = h("button", { type: "button", class: "quiet bare", onclick: () => this.openLog({ taskId: row.model.id, name: row.model.name }) }, icon("log"));
      cells.name.append((row.label = h("span", { class: "label" })), row.log);
    }
    return row;
  }

  #fill(row, model) {
    const live = model.of ? model.live : isLive(model);
    row.model = model;
    if (live) this.live.push(row);
    const sign = JSON.stringify(model.of ? { ...model, of: model.of.length, open: this.open.has(model.key) } : model);
    if (row.sign === sign && row.scale === this.scale && !live) return;
    if (row.sign !== sign) this.#words(row, model);
    row.sign = sign;
    row.scale = this.scale;
    this.#bar(row, model, true);
  }

  #words(row, model) {
    const { cells } = row;
    row.track.dataset.state = f.kin(model.usual ?? model.status);
    row.node.classList.toggle("child", Boolean(model.child));
    row.node.classList.toggle("group", Boolean(model.of));
    const size = model.of?.length;
    setText(row.label, model.of ? `${model.name} ×${size}` : model.name);
    setAttr(cells.name, "title", model.of ? `${model.name}: ${size} copies` : `${model.name} (task ${model.id})`);
    if (row.log) {
      show(row.log, this.context.logs);
      setAttr(row.log, "aria-label", `Log of ${model.name}`);
      setAttr(row.log, "title", `Log of ${model.name}`);
    }
    if (row.toggle) setAttr(row.toggle, "aria-expanded", this.open.has(model.key));
    if (model.of) this.#chips(row, model);
    else row.badge.set(model.status);
    setTime(row.time, model.started, f.clock(model.started, this.begin));
    setText(cells.cpus, f.number(model.cpus));
    setText(cells.memory, f.gib(model.memory));
    setText(cells.gpus, f.number(model.gpus));
    setText(cells.instance, model.instance ?? (model.instances ? `${model.instances} types` : "–"));
    setText(cells.cache, model.of ? (model.cached ? `${model.cached}/${size}` : "–") : model.cached ? "Hit" : "–");
  }

  /** The states of a group: an icon and a number each, in words for the ear and the pointer. */
  #chips({ cells, chips }, { counts }) {
    keyed(cells.state, chips, f.byState(counts), ([status]) => status, ([status]) => {
      const badge = new Badge({ title: f.stateWord(status) });
      badge.node.append(h("span", { class: "sr" }, ` ${f.stateWord(status).toLowerCase()} `));
      return { node: badge.node, badge, status };
    }, ({ badge, status }, [, count]) => badge.set(status, f.number(count)));
  }

  #bar(row, model, words) {
    const now = this.now;
    const { queued, ran } = model.of ? groupTimes(model, now) : phases(model, now);
    const prefix = model.of && model.of.length > 1 ? "≤ " : "";
    setText(row.cells.duration, ran === null ? "–" : prefix + f.duration(ran));
    setText(row.cells.queue, queued === null ? "–" : prefix + f.duration(queued));
    const end = model.stopped ?? ((model.of ? model.live : isLive(model)) ? now : null);
    this.#place(row.queued, model.created, model.started ?? end);
    this.#place(row.ran, model.started, end);
    if (!words) return;
    const said = [];
    if (queued !== null) said.push(`${model.of ? "queued at most" : "queued"} ${f.duration(queued)}`);
    if (ran !== null) said.push(`${model.of ? "ran at most" : isLive(model) ? "running for" : "ran"} ${f.duration(ran)}`);
    const first = model.created ?? model.started;
    if (first !== null) said.push(`created ${f.duration(first - this.begin)} after the start`);
    setAttr(row.track, "aria-label", said.join(", ") || "no times yet");
    setAttr(row.track, "title", said.join(", "));
  }

  #place(node, from, to) {
    const shown = from !== null && to !== null;
    show(node, shown);
    if (!shown) return;
    const left = this.#share(Math.max(0, from - this.begin));
    const width = this.#share(Math.max(0, to - from));
    if (node.style.left !== left) node.style.left = left;
    if (node.style.width !== width) node.style.width = width;
  }

  /** Let the living rows grow, without asking the server. */
  tick(now) {
    if (!this.context?.active || !this.models.length) return;
    this.now = now;
    if (now > this.end) {
      this.render();
      return;
    }
    this.#tickNow();
    for (const row of this.live) this.#bar(row, row.model, false);
  }
}

function groupTimes(model, now) {
  const of = model.live ? model.of.map((m) => phases(m, now)) : null;
  return of ? { ran: most(of.map((p) => p.ran)), queued: most(of.map((p) => p.queued)) } : model;
}
