// SPDX-FileCopyrightText: The airflow-healthomics authors
// SPDX-License-Identifier: Apache-2.0

// One run: is it moving, which task is slow, why did it fail, where are the outputs, what was it run with.

import { announce, h, keyed, setAttr, setText, show } from "./dom.js";
import * as f from "./format.js";
import { copyButton, linkOut } from "./links.js";
import { modelOf, phases, TaskTable } from "./timeline.js";
import { Badge, Callout, Facts, Links, Notices, Steps } from "./widgets.js";

/** How many of the failed tasks show their log without a click. */
const OPEN_FAILURES = 3;

class FailedTasks {
  constructor() {
    this.cache = new Map();
    this.title = h("h2", { id: "failed-title" });
    this.list = h("div", { class: "failures" });
    this.node = h("section", { class: "card", "aria-labelledby": "failed-title", "data-testid": "failed-tasks", hidden: true }, this.title, this.list);
  }

  update(failed, all) {
    show(this.node, failed.length > 0);
    setText(this.title, `${f.number(Math.max(all, failed.length))} failed ${all > 1 ? "tasks" : "task"}${failed.length < all ? `, ${f.number(failed.length)} shown here` : ""}`);
    keyed(this.list, this.cache, failed, (task) => task.taskId, (task) => this.#create(task), (entry, task) => this.#fill(entry, task));
  }

  #create(task) {
    const badge = new Badge();
    badge.set("FAILED");
    const entry = { name: h("strong"), reason: h("span", { class: "reason" }), message: h("p", { class: "message" }), log: h("pre", { tabindex: "0", role: "region", class: "log" }), lines: [] };
    const link = linkOut("Task log", task.logUrl);
    entry.copy = copyButton("the log lines", () => entry.lines.join("\n"), "Copy lines");
    entry.noLog = h("p", { class: "sub" }, "No log lines.");
    entry.node = h("details", { class: "failure", open: this.cache.size < OPEN_FAILURES },
      h("summary", {}, badge.node, entry.name, entry.reason),
      h("div", { class: "inside" }, entry.message, entry.log, entry.noLog,
        h("p", { class: "row" }, link, link && copyButton("the address: Task log", () => link.href), entry.copy, h("span", { class: "sub" }, "Task ", h("span", { class: "mono" }, task.taskId)))));
    return entry;
  }

  #fill(entry, task) {
    entry.lines = task.logLines ?? [];
    setText(entry.name, task.name || task.taskId);
    setText(entry.reason, task.failureReason ?? "");
    setText(entry.message, task.statusMessage ?? "");
    show(entry.message, Boolean(task.statusMessage));
    setText(entry.log, entry.lines.join("\n"));
    setAttr(entry.log, "aria-label", `Last log lines of ${task.name || task.taskId}`);
    for (const part of [entry.log, entry.copy]) show(part, entry.lines.length > 0);
    show(entry.noLog, !entry.lines.length);
  }
}

/** What the engine said last, for a run that failed without a task's log. */
class EngineLog {
  constructor() {
    this.lines = h("pre", { tabindex: "0", role: "region", class: "log", "aria-labelledby": "engine-log-title", "data-testid": "engine-log" });
    this.node = h("section", { class: "card", "aria-labelledby": "engine-log-title", hidden: true },
      h("h2", { id: "engine-log-title" }, "Last lines of the engine log"), this.lines,
      h("p", { class: "row" }, copyButton("the log lines", () => this.lines.textContent, "Copy lines")));
  }

  update(lines = []) {
    setText(this.lines, lines.join("\n"));
    show(this.node, lines.length > 0);
  }
}

/** The newest thing that happened: {at, words}. */
export function lastActivity(history, models) {
  let last = null;
  const note = (at, words) => {
    if (at !== null && (!last || at > last.at)) last = { at, words };
  };
  for (const { status, time } of history) note(f.time(time), `run ${f.stateWord(status).toLowerCase()}`);
  for (const m of models) {
    note(m.created, `${m.name} queued`);
    note(m.started, `${m.name} started`);
    note(m.stopped, `${m.name} ${f.stateWord(m.status).toLowerCase()}`);
  }
  return last;
}

/** The task that ran longest so far: {model, ran}. */
export function longest(models, now) {
  let most = null;
  for (const model of models) {
    const { ran } = phases(model, now);
    if (ran !== null && (!most || ran > most.ran)) most = { model, ran };
  }
  return most;
}

/** What a screen reader says of an answer after the one before, or null. */
export function newsOf(before, { run, failedTotal = 0 }) {
  if (!before) return null;
  if (before.run.status !== run.status) return `Run ${run.name ?? run.id}: ${f.stateWord(run.status)}${run.failureReason ? `, ${run.failureReason}` : ""}`;
  return failedTotal > (before.failedTotal ?? 0) ? `${f.number(failedTotal)} failed ${failedTotal === 1 ? "task" : "tasks"}` : null;
}

export class RunView {
  constructor() {
    this.badge = new Badge({ "data-testid": "status" });
    this.title = h("h1");
    this.id = h("span", { class: "mono", "data-testid": "run-id" });
    this.links = new Links();
    this.callout = new Callout();
    this.notices = new Notices();
    this.engineLog = new EngineLog();
    this.tiles = new Facts("tiles");
    this.steps = new Steps();
    this.failed = new FailedTasks();
    this.tasks = new TaskTable();
    this.facts = new Facts("facts");
    this.node = h("article", { "data-testid": "run" },
      h("header", { class: "head" },
        h("div", { class: "title" }, this.title, this.badge.node),
        h("p", { class: "sub" }, "HealthOmics run ", this.id, copyButton("the run id", () => this.id.textContent)),
        this.links.node),
      this.callout.node,
      this.notices.node,
      this.tiles.node,
      h("section", { class: "card", "aria-labelledby": "history-title", "data-testid": "history" }, h("h2", { id: "history-title" }, "Status history"), this.steps.node),
      this.failed.node,
      this.engineLog.node,
      this.tasks.node,
      h("section", { class: "card", "aria-labelledby": "details-title", "data-testid": "details" }, h("h2", { id: "details-title" }, "Run details"), this.facts.node));
  }

  get name() {
    return this.data.run.name || `Run ${this.data.run.id}`;
  }

  update(data, now) {
    const before = this.data;
    this.data = data;
    this.active = data.active;
    const { run } = data;
    this.created = f.time(run.creationTime);
    this.started = f.time(run.startTime);
    this.stopped = f.time(run.stopTime);
    const tasks = data.tasks ?? [];
    this.models = tasks.map(modelOf);
    this.last = lastActivity(data.history ?? [], this.models);
    setText(this.title, this.name);
    setText(this.id, run.id);
    this.badge.set(run.status);
    this.links.update([["Console", data.links?.console], ["Run log", data.links?.runLog], ["Engine log", data.links?.engineLog], ["S3 outputs", data.links?.outputs]]);
    this.callout.update(run.failureReason, run.statusMessage);
    setAttr(this.callout.node, "data-state", run.failureReason || run.status === "FAILED" ? "FAILED" : "PENDING");
    this.notices.update(data.notices);
    this.engineLog.update(data.engineLogLines);
    const { failed = [], failedTotal = failed.length } = data;
    this.failed.update(failed, failedTotal);
    this.#details(run);
    const end = this.active ? now : (this.stopped ?? f.time(data.asOf) ?? now);
    this.tasks.update(tasks, {
      active: this.active, now: end, from: this.started ?? this.created, until: this.stopped,
      total: data.tasksTotal ?? tasks.length, truncated: Boolean(data.tasksTruncated), unknown: Boolean(data.tasksUnknown),
    });
    this.#moving(now);
    const news = newsOf(before, data);
    if (news) announce(news);
  }

  #details(run) {
    const cache = [run.cacheId, run.cacheBehavior && f.stateWord(run.cacheBehavior).toLowerCase()].filter(Boolean).join(", ");
    this.facts.update([
      { label: "Created", at: this.created },
      { label: "Started", at: this.started },
      { label: "Stopped", at: this.stopped },
      { label: "Usage", value: (this.data.usage ?? []).join(". ") },
      { label: "Outputs", value: run.runOutputUri, copy: true, mono: true },
      { label: "Workflow id", value: run.workflowId, copy: true, mono: true },
      { label: "Workflow type", value: run.workflowType && (run.workflowType === "READY2RUN" ? "Ready2Run" : f.stateWord(run.workflowType)) },
      { label: "Engine version", value: run.engineVersion },
      { label: "Parameters", value: run.parametersInFile && "In a file" },
      { label: "Requester pays", value: run.requesterPaysEnabled && "Yes" },
      { label: "Run group", value: run.runGroupId, mono: true },
      { label: "Run batch", value: run.batchId, mono: true },
      { label: "Run cache", value: cache },
      { label: "Retention", value: run.retentionMode && f.stateWord(run.retentionMode) },
      { label: "UUID", value: run.uuid, copy: true, mono: true },
    ]);
  }

  /** What changes while time passes. */
  #moving(now) {
    const { run, history = [], tasksTotal, tasksTruncated, tasksUnknown } = this.data;
    const end = this.active ? now : (this.stopped ?? now);
    const counts = {};
    for (const { status } of this.models) counts[status] = (counts[status] ?? 0) + 1;
    const cached = this.models.reduce((sum, m) => sum + m.cached, 0);
    const some = (status, word) => counts[status] && `${f.number(counts[status])} ${word}`;
    const begin = this.started ?? this.created;
    const ran = begin !== null && (this.active || this.stopped !== null) ? end - begin : null;
    const waited = this.created !== null && this.started !== null ? `after ${f.duration(this.started - this.created)} in the queue` : null;
    const slow = longest(this.models, end);
    const unit = run.storageCapacity ? `${f.number(run.storageCapacity)} GiB` : null;
    const storage = run.storageType && f.stateWord(run.storageType);
    this.tiles.update([
      { label: this.started === null && this.active ? "Waiting" : "Duration", value: ran === null ? null : f.duration(ran), sub: waited },
      {
        label: "Tasks",
        value: this.models.length ? `${f.number(counts.COMPLETED ?? 0)} of ${f.number(tasksTotal ?? this.models.length)} completed` : tasksUnknown ? "Not known" : this.active ? "None yet" : "None",
        sub: [some("FAILED", "failed"), some("RUNNING", "running"), some("PENDING", "pending"), cached && `${f.number(cached)} from cache`, tasksTruncated && "of those listed"].filter(Boolean).join(" · "),
      },
      { label: "Last activity", value: this.active && this.last ? f.ago(now - this.last.at) : null, sub: this.last?.words },
      { label: "Longest task", value: slow && f.duration(slow.ran), sub: slow && slow.model.name + (f.ended(slow.model.status) ? "" : ", still running") },
      { label: "Workflow", value: run.workflowName ?? run.workflowId, sub: [run.workflowVersionName && `version ${run.workflowVersionName}`, run.engineVersion].filter(Boolean).join(" · ") },
      { label: "Storage", value: storage ?? unit, sub: storage && unit },
    ]);
    this.steps.update(history.map(({ status, time }, index) => {
      const at = f.time(time);
      const next = index + 1 < history.length ? f.time(history[index + 1].time) : null;
      const until = next ?? (this.active && !f.ended(status) ? now : null);
      return { status, at, words: at !== null && until !== null ? `for ${f.duration(until - at)}` : "" };
    }));
  }

  tick(now) {
    if (!this.active) return;
    this.#moving(now);
    this.tasks.tick(now);
  }
}
