// SPDX-FileCopyrightText: The airflow-healthomics authors
// SPDX-License-Identifier: Apache-2.0

// One run: is it moving, which task is slow, why did it fail, where are the outputs, what was it run with.

import { Cost } from "./cost.js";
import { announce, h, setText, show } from "./dom.js";
import { EngineLog, FailedTasks, FailureSentence } from "./failure.js";
import * as f from "./format.js";
import { copyButton } from "./links.js";
import { LogDialog } from "./log.js";
import { shortName, titleOf } from "./names.js";
import { Outputs } from "./outputs.js";
import { modelOf, phases } from "./tasks.js";
import { TaskTable } from "./tasktable.js";
import { Use } from "./use.js";
import { Badge, Facts, Links, Notices, Steps } from "./widgets.js";

/** The newest thing that happened: {at, words}. */
export function lastActivity(history, models) {
  let last = null;
  const note = (at, words) => {
    if (at !== null && (!last || at > last.at)) last = { at, words };
  };
  for (const { status, time } of history) note(f.time(time), `run ${f.stateWord(status).toLowerCase()}`);
  for (const m of models) {
    note(m.created, `${shortName(m.name)} queued`);
    note(m.started, `${shortName(m.name)} started`);
    note(m.stopped, `${shortName(m.name)} ${f.stateWord(m.status).toLowerCase()}`);
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

/** How far the tasks are: {value, sub}. An engine creates tasks as it goes, so the number of those known is no goal. */
export function progressOf(models, { active, truncated, unknown }) {
  const known = models.length;
  if (!known) return { value: unknown ? "Not known" : active ? "None yet" : "None", sub: "" };
  const count = (status) => models.filter((model) => model.status === status).length;
  const some = (number, word) => number && `${f.number(number)} ${word}`;
  const of = `of ${f.number(known)} ${truncated ? "listed" : active ? "created so far" : ""}`.trim();
  const cached = models.reduce((sum, model) => sum + model.cached, 0);
  const others = ["FAILED", "RUNNING", "PENDING"].map((status) => some(count(status), f.stateWord(status).toLowerCase()));
  return { value: `${f.number(count("COMPLETED"))} completed`, sub: [of, ...others, some(cached, "from cache")].filter(Boolean).join(" · ") };
}

/** What a screen reader says of an answer after the one before, or null. */
export function newsOf(before, { run, failedTotal = 0 }) {
  if (!before) return null;
  if (before.run.status !== run.status) return `Run ${run.id}: ${f.stateWord(run.status)}${run.failureReason ? `, ${run.failureReason}` : ""}`;
  return failedTotal > (before.failedTotal ?? 0) ? `${f.number(failedTotal)} failed ${failedTotal === 1 ? "task" : "tasks"}` : null;
}

export class RunView {
  /** `pathOf(runId)`: the address of a run in the API. */
  constructor({ pathOf = () => null } = {}) {
    this.pathOf = pathOf;
    this.dialog = new LogDialog();
    this.badge = new Badge({ "data-testid": "status" });
    this.title = h("h1");
    this.id = h("span", { class: "mono", "data-testid": "run-id" });
    this.links = new Links();
    this.failure = new FailureSentence({ openLog: (task) => this.openLog(task) });
    this.notices = new Notices();
    this.engineLog = new EngineLog();
    this.tiles = new Facts("tiles");
    this.steps = new Steps();
    this.failed = new FailedTasks();
    this.tasks = new TaskTable({ openLog: (task) => this.openLog(task) });
    this.engineButton = h("button", { type: "button", class: "quiet", hidden: true, "data-testid": "open-engine-log", onclick: () => this.openLog(null) }, "Read engine log");
    this.outputs = new Outputs();
    this.outputsButton = h("button", { type: "button", class: "quiet", hidden: true, "data-testid": "open-outputs", onclick: () => this.outputs.reveal() }, "Outputs");
    this.actions = h("div", { class: "actions" });
    this.use = new Use();
    this.cost = new Cost();
    this.facts = new Facts("facts");
    this.node = h("article", { "data-testid": "run" },
      h("header", { class: "run-head" },
        h("div", { class: "title" }, this.title, this.badge.node),
        h("div", { class: "meta" },
          h("p", { class: "sub" }, "HealthOmics run ", this.id, copyButton("the run id", () => this.id.textContent)),
          this.engineButton, this.outputsButton, this.actions, this.links.node)),
      this.failure.node,
      this.notices.node,
      this.tiles.node,
      this.tasks.node,
      this.outputs.node,
      this.failed.node,
      this.engineLog.node,
      this.use.node,
      this.cost.node,
      h("section", { class: "card", "aria-labelledby": "history-title", "data-testid": "history" }, h("h2", { id: "history-title" }, "Status history"), this.steps.node),
      h("section", { class: "card", "aria-labelledby": "details-title", "data-testid": "details" }, h("h2", { id: "details-title" }, "Run details"), this.facts.node),
      this.dialog.node);
  }

  /** Open the log of a task, or that of the engine. */
  openLog(task) {
    const { run, links } = this.data;
    const path = this.pathOf(run.id);
    this.dialog.open(task ? { name: task.name || task.taskId, path, taskId: task.taskId, url: task.logUrl } : { name: "the engine", path, url: links?.engineLog });
  }

  get name() {
    const { run, label } = this.data;
    return titleOf(run, label) || `Run ${run.id}`;
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
    this.failure.update(data);
    this.notices.update(data.notices);
    const logs = data.logs ? this.pathOf(run.id) : null;
    this.engineLog.update(data.engineLogLines, logs);
    show(this.engineButton, Boolean(logs));
    this.outputs.from(data.outputs ? this.pathOf(run.id) : null);
    show(this.outputsButton, Boolean(data.outputs));
    const { failed = [], failedTotal = failed.length } = data;
    this.failed.update(failed, failedTotal, logs);
    this.use.update(this.active ? [] : this.models);
    this.cost.update(data.cost);
    this.#details(run);
    const end = this.active ? now : (this.stopped ?? f.time(data.asOf) ?? now);
    this.tasks.update(tasks, {
      active: this.active, now: end, from: this.started ?? this.created, until: this.stopped,
      truncated: Boolean(data.tasksTruncated), unknown: Boolean(data.tasksUnknown), logs: Boolean(logs), failed: run.status === "FAILED",
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
      { label: "Run name", value: run.name, copy: true, mono: true },
      { label: "Workflow version", value: run.workflowVersionName },
      { label: "Workflow id", value: run.workflowId, copy: true, mono: true },
      { label: "Workflow type", value: run.workflowType && (run.workflowType === "READY2RUN" ? "Ready2Run" : f.stateWord(run.workflowType)) },
      { label: "Engine version", value: run.engineVersion },
      { label: "Storage", value: [run.storageType && f.stateWord(run.storageType), run.storageCapacity && `${f.number(run.storageCapacity)} GiB`].filter(Boolean).join(", ") },
      { label: "Parameters", value: run.parametersInFile && "In a file" },
      { label: "Requester pays", value: run.requesterPaysEnabled && "Yes" },
      { label: "Run group", value: run.runGroupId, mono: true },
      { label: "Run batch", value: run.batchId, mono: true },
      { label: "Run cache", value: cache },
      { label: "Retention", value: run.retentionMode && f.stateWord(run.retentionMode) },
      { label: "Message", value: run.statusMessage },
      { label: "UUID", value: run.uuid, copy: true, mono: true },
    ]);
  }

  /** What changes while time passes. */
  #moving(now) {
    const { history = [], tasksTruncated, tasksUnknown } = this.data;
    const end = this.active ? now : (this.stopped ?? now);
    const begin = this.started ?? this.created;
    const ran = begin !== null && (this.active || this.stopped !== null) ? end - begin : null;
    const waited = this.created !== null && this.started !== null ? `after ${f.duration(this.started - this.created)} in the queue` : null;
    const slow = longest(this.models, end);
    this.tiles.update([
      { label: this.started === null && this.active ? "Waiting" : "Duration", value: ran === null ? null : f.duration(ran), sub: waited },
      { label: "Tasks", ...progressOf(this.models, { active: this.active, truncated: tasksTruncated, unknown: tasksUnknown }) },
      { label: "Last activity", value: this.active && this.last ? f.ago(now - this.last.at) : null, sub: this.last?.words },
      { label: "Longest task", value: slow && f.duration(slow.ran), sub: slow && shortName(slow.model.name) + (f.ended(slow.model.status) ? "" : ", still running") },
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
