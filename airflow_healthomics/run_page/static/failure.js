// SPDX-FileCopyrightText: The airflow-healthomics authors
// SPDX-License-Identifier: Apache-2.0

// Why a run failed: one sentence with the next step, then each failed task with the end of its log.

import { h, keyed, setAttr, setText, show } from "./dom.js";
import * as f from "./format.js";
import { copyButton, linkOut } from "./links.js";
import { LogBox } from "./log.js";
import { causeOf, plain } from "./loglines.js";
import { shortName } from "./names.js";
import { Badge } from "./widgets.js";

/** How many of the failed tasks show their log without a click. */
const OPEN_FAILURES = 3;

const ended = (text) => (!text || /[.!?]$/.test(text) ? (text ?? "") : `${text}.`);

/**
 * What failed and why, in words: {what, why, cause, task}. The first of the failed tasks is the one to blame, as the
 * server sorts them; `cause` is the log line that looks like it.
 */
export function failureOf({ run, failed = [], failedTotal = failed.length, engineLogLines = [], nextStep }) {
  if (!nextStep && !run.failureReason) return null;
  const reason = run.failureReason ? ` (${run.failureReason})` : "";
  const [task] = failed;
  if (!task || run.status !== "FAILED") {
    const what = run.status === "CANCELLED" ? "The run was cancelled" : `The run ${run.status === "FAILED" ? "failed" : `is ${f.stateWord(run.status).toLowerCase()}`}`;
    return { what: `${what}${reason}.`, why: ended(run.statusMessage), cause: lineOf(engineLogLines), task: null };
  }
  const others = failedTotal > 1 ? `, the first of ${f.number(failedTotal)} failed tasks` : "";
  const why = [task.statusMessage, run.statusMessage].filter((text, index, all) => text && all.indexOf(text) === index);
  const because = task.failureReason ? ` with ${task.failureReason}` : "";
  return { what: `${shortName(task.name || `Task ${task.taskId}`)} failed${because}${others}${reason}.`, why: why.map(ended).join(" "), cause: lineOf(task.logLines ?? []), task };
}

function lineOf(lines) {
  const clean = lines.map(plain);
  const cause = causeOf(clean);
  return cause && { line: clean[cause.index].trim(), at: cause.index + 1, of: lines.length };
}

export class FailureSentence {
  /** `openLog(task)` opens the log of a failed task, or the engine's. */
  constructor({ openLog }) {
    this.what = h("strong");
    this.why = h("span", { class: "why" });
    this.line = h("code");
    this.where = h("span", { class: "sub" });
    this.cause = h("p", { class: "cause", hidden: true }, this.where, this.line);
    this.step = h("span", { "data-testid": "next-step" });
    this.next = h("p", { hidden: true }, h("strong", {}, "Next step: "), this.step);
    this.log = h("button", { type: "button", class: "quiet", "data-testid": "open-log", onclick: () => openLog(this.task) });
    this.node = h("section", { class: "callout", "data-testid": "reason", "aria-label": "Why it ended", hidden: true },
      h("div", { class: "said" }, h("p", { class: "what" }, this.what, this.why), this.cause, this.next), this.log);
  }

  update(data) {
    const failure = failureOf(data);
    show(this.node, Boolean(failure));
    if (!failure) return;
    const { what, why, cause, task } = failure;
    this.task = task;
    setAttr(this.node, "data-state", data.run.failureReason || data.run.status === "FAILED" ? "FAILED" : "PENDING");
    setText(this.what, what);
    setText(this.why, why && ` ${why}`);
    setAttr(this.why, "title", why || null);
    show(this.cause, Boolean(cause));
    setText(this.where, cause ? `${task ? "Log" : "Engine log"}, line ${cause.at} of the last ${cause.of}: ` : "");
    setText(this.line, cause?.line);
    setText(this.step, data.nextStep);
    show(this.next, Boolean(data.nextStep));
    setText(this.log, task ? "Open its log" : "Open the engine log");
    show(this.log, Boolean(data.logs) && data.run.status !== "CANCELLED");
  }
}

export class FailedTasks {
  constructor() {
    this.cache = new Map();
    this.title = h("h2", { id: "failed-title" });
    this.list = h("div", { class: "failures" });
    this.node = h("section", { class: "card", "aria-labelledby": "failed-title", "data-testid": "failed-tasks", hidden: true }, this.title, this.list);
  }

  /** `path`: where logs are read, null if they may not be. */
  update(failed, all, path) {
    this.path = path;
    show(this.node, failed.length > 0);
    setText(this.title, `${f.number(Math.max(all, failed.length))} failed ${all > 1 ? "tasks" : "task"}${failed.length < all ? `, ${f.number(failed.length)} shown here` : ""}`);
    keyed(this.list, this.cache, failed, (task) => task.taskId, (task) => this.#create(task), (entry, task) => this.#fill(entry, task));
  }

  #create(task) {
    const badge = new Badge();
    badge.set("FAILED");
    const entry = { name: h("strong"), reason: h("span", { class: "reason" }), message: h("p", { class: "message" }), log: new LogBox(task.name || task.taskId) };
    const link = linkOut("Task log", task.logUrl);
    entry.node = h("details", { class: "failure", open: this.cache.size < OPEN_FAILURES, ontoggle: () => entry.log.end() },
      h("summary", {}, badge.node, entry.name, entry.reason),
      h("div", { class: "inside" }, entry.message, entry.log.node,
        h("p", { class: "row" }, link, link && copyButton("the address: Task log", () => link.href), h("span", { class: "sub" }, "Task ", h("span", { class: "mono" }, task.taskId)))));
    return entry;
  }

  #fill(entry, task) {
    setText(entry.name, task.name || task.taskId);
    setText(entry.reason, task.failureReason ?? "");
    setText(entry.message, task.statusMessage ?? "");
    show(entry.message, Boolean(task.statusMessage));
    entry.log.from(this.path, task.taskId);
    entry.log.tail(task.logLines ?? []);
  }
}

/** The last lines of the engine's log, for a run that failed without a task's log. */
export class EngineLog {
  constructor() {
    this.log = new LogBox("the engine");
    this.node = h("section", { class: "card", "aria-labelledby": "engine-log-title", "data-testid": "engine-log", hidden: true },
      h("h2", { id: "engine-log-title" }, "Last lines of the engine log"), this.log.node);
  }

  update(lines = [], path = null) {
    show(this.node, lines.length > 0);
    this.log.from(path, null);
    if (lines.length) this.log.tail(lines);
  }
}
