// SPDX-FileCopyrightText: The airflow-healthomics authors
// SPDX-License-Identifier: Apache-2.0

// The run page without a browser, run by test_static.py with `node --test`: its pure parts, and its views
// in a minimal document.

import assert from "node:assert/strict";
import test from "node:test";

class Node {
  constructor() {
    Object.assign(this, { childNodes: [], attributes: {}, dataset: {}, hidden: false, parentNode: null, value: "" });
    this.style = { setProperty() {} };
    this.classList = { toggle() {}, add() {}, remove() {} };
  }

  setAttribute(name, value) {
    this.attributes[name] = String(value);
    if (name === "hidden") this.hidden = true;
  }

  getAttribute(name) {
    return this.attributes[name] ?? null;
  }

  hasAttribute(name) {
    return name in this.attributes;
  }

  removeAttribute(name) {
    delete this.attributes[name];
  }

  addEventListener() {}

  append(...children) {
    for (const child of children) this.insertBefore(child, null);
  }

  replaceChildren(...children) {
    this.childNodes = [];
    this.append(...children);
  }

  insertBefore(child, at) {
    if (child.parentNode) child.remove();
    const index = at ? this.childNodes.indexOf(at) : this.childNodes.length;
    this.childNodes.splice(index, 0, child);
    if (child instanceof Node) child.parentNode = this;
  }

  remove() {
    this.parentNode.childNodes = this.parentNode.childNodes.filter((child) => child !== this);
    this.parentNode = null;
  }

  contains(node) {
    return node === this || this.childNodes.some((child) => child instanceof Node && child.contains(node));
  }

  get firstChild() {
    return this.childNodes[0] ?? null;
  }

  get nextSibling() {
    const all = this.parentNode.childNodes;
    return all[all.indexOf(this) + 1] ?? null;
  }

  get textContent() {
    return this.childNodes.map((child) => child.textContent ?? child).join("");
  }

  set textContent(text) {
    this.childNodes = [text];
  }

  /** Return the text of the visible nodes, by their test id if one is given. */
  shown(id = null, inside = id === null) {
    if (this.hidden) return "";
    const here = inside || this.attributes["data-testid"] === id;
    return this.childNodes.map((child) => (child instanceof Node ? child.shown(id, here) : here ? child : "")).join(inside ? " " : "");
  }
}
const announcer = new Node();
globalThis.document = {
  createElement: () => new Node(), createElementNS: () => new Node(), getElementById: () => announcer, activeElement: null,
  baseURI: "https://airflow.example/base/healthomics/page",
};

const at = new URL("../../../airflow_healthomics/run_page/static/", import.meta.url);
const { backOffMs, get, retryAfterMs, ApiError } = await import(new URL("api.js", at));
const f = await import(new URL("format.js", at));
const { safeUrl } = await import(new URL("links.js", at));
const { elapsed, ListView, reasonOf } = await import(new URL("list.js", at));
const { Actions, clearBody, clearWords, idsOf } = await import(new URL("actions.js", at));
const { BatchRuns, policyTile } = await import(new URL("batch_runs.js", at));
const { ends, nameParts, shortest, shortName } = await import(new URL("names.js", at));
const { inView } = await import(new URL("rows.js", at));
const { groupsOf, modelOf, phases, sorted, useWords } = await import(new URL("tasks.js", at));
const { BatchView } = await import(new URL("batch.js", at));
const { failureOf } = await import(new URL("failure.js", at));
const { logPath } = await import(new URL("log.js", at));
const { causeOf, hits, plain } = await import(new URL("loglines.js", at));
const { countWords, folderOf, listPath, Outputs, trailOf, viewPath } = await import(new URL("outputs.js", at));
const { cellsOf, Cost, usd } = await import(new URL("cost.js", at));
const { totalsOf, wastesOf } = await import(new URL("use.js", at));
const { lastActivity, longest, newsOf, progressOf, RunView } = await import(new URL("run.js", at));

const task = (taskId, status, creationTime, startTime, stopTime, more = {}) =>
  modelOf({ taskId, name: taskId, status, creationTime: iso(creationTime), startTime: iso(startTime), stopTime: iso(stopTime), ...more });
const iso = (seconds) => (seconds == null ? undefined : new Date(seconds * 1000).toISOString());

test("only web addresses are followed, whatever the response contains", () => {
  for (const bad of ["javascript:alert(1)", " java\nscript:alert(1)", "data:text/html,x", "file:///etc/passwd", "blob:https://x/y", "http://["]) assert.equal(safeUrl(bad), null, bad);
  assert.equal(safeUrl("https://console.aws.amazon.com/a#b"), "https://console.aws.amazon.com/a#b");
  assert.equal(safeUrl("static/x"), "https://airflow.example/base/healthomics/static/x");
});

test("the wait doubles with each failure, stays within its bounds and obeys Retry-After", () => {
  assert.deepEqual([1, 2, 3, 4].map((n) => backOffMs(n, 10_000, 0, 1)), [20_000, 40_000, 80_000, 160_000]);
  assert.equal(backOffMs(60, 10_000, 0, 1), 300_000);
  assert.equal(backOffMs(1, 10_000, 0, 0), 10_000);
  assert.equal(backOffMs(1, 10_000, 90_000, 1), 90_000);
  assert.equal(retryAfterMs("7"), 7000);
  assert.equal(retryAfterMs("Mon, 23 Nov 2026 00:00:10 GMT", Date.UTC(2026, 10, 23)), 10_000);
  for (const nothing of [null, "", "soon", "-5"]) assert.equal(retryAfterMs(nothing), 0);
});

test("requests with permanent errors are not repeated", () => {
  assert.deepEqual([0, 401, 403, 404, 429, 500, 502, 503].map((status) => new ApiError(status).passing), [true, false, false, false, true, true, true, true]);
});

test("a request leaves no listener on the signal of its poller", async (t) => {
  const { signal } = new AbortController();
  const listeners = new Set();
  t.mock.method(signal, "addEventListener", (_, listener) => listeners.add(listener));
  t.mock.method(signal, "removeEventListener", (_, listener) => listeners.delete(listener));
  t.mock.method(globalThis, "fetch", async () => {
    assert.equal(listeners.size, 1);
    return new Response("{}");
  });
  await get("api", signal);
  assert.equal(listeners.size, 0);
  globalThis.fetch.mock.mockImplementation(() => Promise.reject(new TypeError()));
  await assert.rejects(get("api", signal), ApiError);
  assert.equal(listeners.size, 0);
});

test("a row of the list has the reason of its run's failure and its duration", () => {
  assert.equal(reasonOf({ status: "FAILED", failureReason: "OUT_OF_MEMORY_ERROR" }), "OUT_OF_MEMORY_ERROR");
  assert.equal(reasonOf({ status: "COMPLETED", failureReason: "x" }), "");
  assert.equal(reasonOf({ status: "PROCESSED", totalRuns: 60, counts: { FAILED: 1, NOT_STARTED: 1 } }), "2 of 60 runs failed");
  assert.equal(reasonOf({}), "");
  const run = { creationTime: iso(0), stopTime: iso(60), status: "FAILED" };
  assert.equal(elapsed(run, 99_000), 60_000);
  assert.equal(elapsed({ ...run, stopTime: undefined }, 99_000), null);
  assert.equal(elapsed({ ...run, stopTime: undefined, status: "RUNNING" }, 99_000), 99_000);
  assert.equal(elapsed({}, 99_000), null);
});

test("the list counts the known states, and the unknown ones", () => {
  const view = new ListView({ open() {}, more() {} });
  const item = (mapIndex, status, more) => ({ taskId: "align", mapIndex, kind: "run", id: `${mapIndex}7`, status, ...more });
  view.update({ items: [item(0, "FAILED", { failureReason: "INPUT_URI_NOT_FOUND" }), item(1, "RUNNING"), item(2)], total: 3, unread: 1, notices: ["No omics:GetRun."] }, 0);
  const text = view.node.shown();
  for (const part of [/3 runs and batches/, /1 failed, 1 running; 1 not read yet/, /INPUT_URI_NOT_FOUND/, /Not read yet/, /No omics:GetRun/]) assert.match(text, part);
  view.update({ items: [item(1, "FAILED")], total: 1 }, 0);
  assert.equal(announcer.textContent.trim(), "The run of align failed");
});

test("news is announced once, also between the first two responses", () => {
  const answer = (status, failedTotal, failureReason) => ({ run: { id: "7", status, failureReason }, failed: [], failedTotal });
  assert.equal(newsOf(undefined, answer("RUNNING", 3)), null);
  assert.equal(newsOf(answer("RUNNING", 0), answer("RUNNING", 1)), "1 failed task");
  assert.equal(newsOf(answer("RUNNING", 1), answer("RUNNING", 3)), "3 failed tasks");
  assert.equal(newsOf(answer("RUNNING", 3), answer("RUNNING", 3)), null);
  assert.equal(newsOf(answer("RUNNING", 3), answer("FAILED", 4, "RUN_TASK_FAILED")), "Run 7: Failed, RUN_TASK_FAILED");
});

test("durations have two units", () => {
  const said = { 0: "0 s", 59: "59 s", 60: "1 min 00 s", 3599: "59 min 59 s", 3600: "1 h 00 min", 86399: "23 h 59 min", 86400: "1 d 00 h", 270000: "3 d 03 h" };
  for (const [seconds, words] of Object.entries(said)) assert.equal(f.duration(seconds * 1000), words);
  assert.equal(f.duration(null), "–");
  assert.deepEqual([5000, 3599000, 86399000, 270000000, null].map(f.brief), ["5s", "59m 59s", "23h 59m", "3d 03h", "–"]);
  assert.equal(f.duration(-5), "0 s");
});

test("a name is a process and a tag that distinguishes its copies", () => {
  const names = {
    "NFCORE_SAREK:SAREK:PREPROCESSING:BWAMEM1_MEM (NA12878-L1)": ["NFCORE_SAREK:SAREK:PREPROCESSING:BWAMEM1_MEM", "NA12878-L1"],
    "ALIGN (sample 7 (b))": ["ALIGN", "sample 7 (b)"], "call-hc-shard-12": ["call-hc", "shard-12"], "HaplotypeCaller shard-5": ["HaplotypeCaller", "shard-5"],
    "align[3]": ["align", "3"], "align-3-1": ["align", "3-1"], variant_call_02: ["variant_call", "02"],
    "BwaMem C0L01ACXX.1": ["BwaMem", "C0L01ACXX.1"], "align sample 7 ": ["align", "sample 7"], "GATK.4 x": ["GATK.4", "x"],
    "hc_gvcf-01-1234": ["hc_gvcf", "01-1234"], "hc-2-17-retry.1": ["hc", "2-17-retry.1"], "hc-shard-3-attempt-2": ["hc", "shard-3-attempt-2"],
    BWA_MEM2: ["BWA_MEM2", ""], step4: ["step4", ""], "(x)": ["(x)", ""], "12": ["12", ""],
  };
  for (const [name, [process, tag]] of Object.entries(names)) assert.deepEqual(nameParts(name), { process, tag }, name);
});

test("a name is cut where it is least distinctive", () => {
  assert.deepEqual(ends("NFCORE_SAREK:SAREK:BWAMEM1_MEM"), ["NFCORE_SAREK:SAREK", ":BWAMEM1_MEM"]);
  assert.deepEqual(ends("a-very-long-sample-name-L001"), ["a-very-long-sample", "-name-L001"]);
  assert.deepEqual(ends("short"), ["", "short"]);
  assert.equal(shortName("NFCORE_SAREK:SAREK:BWAMEM1_MEM (NA:12)"), "BWAMEM1_MEM (NA:12)");
  assert.equal(shortName("align (s1)"), "align (s1)");
});

test("a process is shown by its shortest unique end", () => {
  const of = (...processes) => [...shortest(processes).values()];
  assert.deepEqual(of("NFCORE_SAREK:SAREK:FASTQC", "NFCORE_SAREK:SAREK:FASTQC", "NFCORE_SAREK:SAREK:PREPROCESSING:BWAMEM1_MEM"), ["FASTQC", "BWAMEM1_MEM"]);
  assert.deepEqual(of("P:Q:STATS", "P:R:STATS", "P:R:SORT"), ["Q:STATS", "R:STATS", "SORT"]);
  assert.deepEqual(of("STATS", "P:STATS", "align", "odd:"), ["STATS", "P:STATS", "align", "odd:"]);
});

test("only rows in view are drawn, with some to spare", () => {
  assert.deepEqual(inView(5000, 28_000, 560, 28, 10), [990, 1030]);
  assert.deepEqual(inView(5, 0, 560, 28, 10), [0, 5]);
  assert.deepEqual(inView(5, 90_000, 560, 28, 10), [5, 5]);
  assert.deepEqual(inView(0, 0, 560, 28), [0, 0]);
});

test("progress counts the known tasks, and says whether there may be more", () => {
  const of = (counts, context) => progressOf(Object.entries(counts).flatMap(([status, count]) => Array.from({ length: count }, () => ({ status, cached: status === "COMPLETED" ? 1 : 0 }))), context);
  assert.deepEqual(of({ COMPLETED: 120, RUNNING: 1 }, { active: true }), { value: "120 completed", sub: "of 121 created so far · 1 running · 120 from cache" });
  assert.deepEqual(of({ COMPLETED: 1, FAILED: 2 }, { active: false }), { value: "1 completed", sub: "of 3 · 2 failed · 1 from cache" });
  assert.deepEqual(of({ PENDING: 5000 }, { active: true, truncated: true }), { value: "0 completed", sub: "of 5,000 listed · 5,000 pending" });
  assert.deepEqual(["unknown", "active", "none"].map((context) => of({}, { [context]: true }).value), ["Not known", "None yet", "None"]);
});

test("an unknown state has a style and a label", () => {
  assert.equal(f.kin("SUBMISSION_FAILED"), "FAILED");
  assert.equal(f.kin("NEW_STATE"), "PENDING");
  assert.equal(f.stateWord("RUNS_DELETE_FAILED"), "Runs delete failed");
  assert.deepEqual(f.byState({ COMPLETED: 2, NEW_STATE: 1, FAILED: 1, RUNNING: 0 }).map(([status]) => status), ["FAILED", "NEW_STATE", "COMPLETED"]);
});

test("a time axis has few ticks and short labels", () => {
  for (let span = 10_000; span < 7 * 86_400_000; span *= 1.7) assert.ok(span / f.tickStep(span) <= 5);
  assert.deepEqual([f.tickLabel(0, 1000), f.tickLabel(30_000, 30_000), f.tickLabel(300_000, 300_000), f.tickLabel(7_200_000, 3_600_000)], ["0", "30 s", "5 min", "2 h"]);
});

test("a task waits until it starts and works until it stops, or until now", () => {
  assert.deepEqual(phases(task("a", "COMPLETED", 0, 10, 30), 99_000), { queued: 10_000, ran: 20_000 });
  assert.deepEqual(phases(task("a", "RUNNING", 0, 10), 99_000), { queued: 10_000, ran: 89_000 });
  assert.deepEqual(phases(task("a", "PENDING", 5), 99_000), { queued: 94_000, ran: null });
  assert.deepEqual(phases(task("a", "CANCELLED", 5), 99_000), { queued: null, ran: null });
});

test("slowest first includes running tasks, and missing values come last in both directions", () => {
  const models = [task("short", "COMPLETED", 0, 0, 5), task("none", "PENDING", 0), task("live", "RUNNING", 0, 0), task("long", "COMPLETED", 0, 0, 50)];
  const names = (down) => sorted(models, { by: "duration", down }, 80_000).map(({ name }) => name);
  assert.deepEqual(names(true), ["live", "long", "short", "none"]);
  assert.deepEqual(names(false), ["short", "long", "live", "none"]);
});

test("a group has the longest and the total time of its copies and hides no failure", () => {
  const models = [task("a-1", "COMPLETED", 0, 5, 20, { cpus: 2, instanceType: "x" }), task("a-2", "FAILED", 1, 2, 90, { cpus: 4, instanceType: "x" }), task("a-3", "PENDING", 3), task("b", "COMPLETED", 0, 0, 1)];
  const [group, single] = groupsOf(models, 100_000);
  assert.deepEqual([group.name, group.of.length, group.status, group.ran, group.queued, group.cpus, group.instance, group.stopped], ["a", 3, "FAILED", 88_000, 97_000, 4, "x", null]);
  assert.equal(group.total, 15_000 + 88_000);
  assert.deepEqual([single.name, single.of.length], ["b", 1]);
  const used = [task("c-1", "COMPLETED", 0, 0, 30, { cpus: 4, cpusAverage: 1, memoryMaximumGiB: 2 }), task("c-2", "COMPLETED", 0, 0, 10, { cpus: 4, cpusAverage: 3, memoryMaximumGiB: 5 })];
  const [c] = groupsOf(used, 0);
  assert.deepEqual([c.cpusUsed, c.memoryUsed], [1.5, 5]);
});

test("the newest event and the longest task are found", () => {
  const models = [task("a", "COMPLETED", 0, 5, 20), task("b", "RUNNING", 1, 18)];
  assert.deepEqual(lastActivity([{ status: "RUNNING", time: iso(2) }], models), { at: 20_000, words: "a completed" });
  assert.equal(longest(models, 60_000).model.name, "b");
  assert.equal(longest([], 0), null);
});

const runAnswer = (more) => ({
  kind: "run", active: false, run: { id: "7", status: "FAILED" }, history: [], tasks: [], failed: [], failedTotal: 0, links: {}, ...more,
});

test("a run shows the failed look-ups, and the engine's log", () => {
  const view = new RunView();
  view.update(runAnswer({ notices: ["No omics:GetRunTask.", "No logs."], engineLogLines: ["one", "two"], failedTotal: 2 }), 0);
  assert.match(view.node.shown("notices"), /GetRunTask.*No logs/);
  assert.match(view.node.shown("engine-log"), /one\s+two/);
  view.update(runAnswer({ failedTotal: 3 }), 0);
  assert.equal(view.node.shown("notices"), "");
  assert.equal(view.node.shown("engine-log"), "");
  assert.equal(announcer.textContent.trim(), "3 failed tasks");
});

test("unknown tasks are not shown as none", () => {
  const view = new RunView();
  view.update(runAnswer({ tasksUnknown: true }), 0);
  assert.match(view.node.shown(), /could not be read/);
  assert.doesNotMatch(view.node.shown(), /has no tasks|None/);
  view.update(runAnswer({}), 0);
  assert.match(view.node.shown(), /The run has no tasks/);
});

test("a batch shows the failed look-ups", () => {
  const view = new BatchView({ openRun() {}, path: "api" });
  view.update({ kind: "batch", active: false, batch: { id: "8", status: "PROCESSED" }, counts: { FAILED: 1 }, failed: [], failedTotal: 1, links: {}, notices: ["No omics:ListRuns."] }, 0);
  assert.match(view.node.shown("notices"), /ListRuns/);
});

test("a batch is named by its workflow and its label, and its own name is a detail", () => {
  const view = new BatchView({ openRun() {}, path: "api" });
  const batch = { id: "8", status: "PROCESSED", name: "scheduled.0123456789abcdef", workflowId: "12" };
  const update = (more, label) => view.update({ kind: "batch", active: false, batch: { ...batch, ...more }, counts: {}, failed: [], failedTotal: 0, links: {}, label }, 0);
  update({ workflowName: "sarek" }, "november");
  assert.equal(view.name, "sarek · november");
  assert.match(view.node.shown(), /Batch name.*scheduled\.0123456789abcdef/);
  update({});
  assert.equal(view.name, "Workflow 12");
  update({ workflowId: undefined });
  assert.equal(view.name, "Batch 8");
});

test("a success policy is shown as met, missed or open", () => {
  assert.equal(policyTile(undefined), null);
  assert.deepEqual(policyTile({ text: "all runs", state: "open", required: 60, completed: 7 }), { label: "Success policy", value: "Open", sub: "all runs: 7 completed, 60 required" });
  assert.match(policyTile({ text: "all runs", completed: 7 }).sub, /earlier attempts/);
  assert.match(policyTile({ text: "all runs", state: "met", required: 60, completed: 60, batches: 2 }).sub, /60 completed, in 2 batches, 60 required/);
});

test("the runs of a batch show their range, and the number of runs read", () => {
  const told = [];
  const runs = new BatchRuns({ path: "api", openRun() {}, onPolicy: (policy) => told.push(policy) });
  const row = (number, status) => ({ runSettingId: `s${number}`, id: `${number}`, status });
  runs.update({ rows: [row(1, "COMPLETED"), { runSettingId: "s2" }], matching: 2, read: 2, total: 3, isComplete: false, counts: { COMPLETED: 1 }, pollSeconds: 2, policy: { text: "all runs" } });
  assert.match(runs.node.shown(), /1 to 2 of 2; 2 of 3 runs are read so far/);
  assert.match(runs.node.shown(), /Not read yet/);
  assert.equal(runs.download.hidden, true);
  assert.equal(told[0].text, "all runs");
  runs.update({ rows: [row(1, "COMPLETED")], matching: 1, read: 1, total: 1, isComplete: true, counts: { COMPLETED: 1 }, pollSeconds: 0 });
  assert.equal(runs.download.hidden, false);
  assert.equal(runs.dueAt, Infinity);
});

test("a Clear names one task instance, with its map index if it has one", () => {
  const task = { dagRunId: "manual", taskId: "align", mapIndex: "-1" };
  assert.deepEqual(clearBody(task, true).task_ids, ["align"]);
  assert.deepEqual(clearBody({ ...task, mapIndex: "3" }, true).task_ids, [["align", 3]]);
  assert.equal(clearBody(task, true).dry_run, true);
  assert.equal(clearBody(task, false).dry_run, false);
  assert.match(clearWords(1), /this task instance, and runs it again/);
  assert.match(clearWords(2), /and 1 that depends on it, and runs them/);
  assert.match(clearWords(3), /and 2 that depend on it/);
});

test("only users who may edit the task are offered actions", () => {
  const actions = new Actions({ dagId: "d", dagRunId: "r", done() {} });
  const offered = (status, mayEdit, isPart = false) => {
    actions.update({ answer: { run: { id: "7", status }, command: "aws" }, mayEdit, path: "api", taskId: "align", mapIndex: "-1", isPart });
    return ["cancel", "again", "command", "ids"].filter((name) => !actions[name].hidden);
  };
  assert.deepEqual(offered("RUNNING", true), ["cancel", "again", "command", "ids"]);
  assert.deepEqual(offered("FAILED", true), ["again", "command", "ids"]);
  assert.deepEqual(offered("RUNNING", true, true), ["cancel", "command", "ids"]);
  assert.deepEqual(offered("RUNNING", false), ["command", "ids"]);
  assert.equal(idsOf({ run: { id: "7", uuid: "u", workflowId: "1", batchId: "8" } }), "run 7\nuuid u\nworkflow 1\nbatch 8");
  assert.equal(idsOf({ batch: { id: "8" } }), "batch 8");
});

test("a line of a log is shown without terminal escapes", () => {
  assert.equal(plain("\u001b[1;31mERROR\u001b[0m \u001b]0;title\u0007done\u001b(B\r\u0008"), "ERROR done");
  assert.equal(plain("a\tb [31m]"), "a\tb [31m]");
});

test("the likely cause is the most specific line, and words of normal logs are none", () => {
  const lines = ["INFO start", "0 errors, error rate 0.1, errors=0", "exit code 0", "see --on-error", "Command exit status:", "  0"];
  assert.equal(causeOf(lines), null);
  const of = (line) => causeOf(["fine", line, "after"])?.why;
  assert.equal(of("java.lang.OutOfMemoryError: Java heap space"), "out of memory");
  assert.equal(of("bash: line 3:  41 Killed   bwa mem"), "killed");
  assert.equal(of("OSError: [Errno 28] No space left on device"), "no space left");
  assert.equal(of("Exception in thread \"main\""), "exception");
  assert.equal(of("ValueError: bad"), "exception");
  assert.equal(of("[E::main] error: no index"), "error");
  assert.equal(of("ERROR ~ Process failed"), "error");
  assert.equal(of("terminated with an error exit status (137)"), "exit code that is not 0");
  assert.equal(of("Process exited with code 1"), "exit code that is not 0");
  assert.deepEqual(causeOf(["Command exit status:", "  137"]), { index: 0, why: "exit code that is not 0" });
  assert.deepEqual(causeOf(["error: a", "Killed", "error: b"]), { index: 1, why: "killed" });
});

test("lines are found in any case", () => {
  assert.deepEqual(hits(["Alpha", "beta", "ALPHA 2"], " alpha "), [0, 2]);
  assert.deepEqual(hits(["a"], " "), []);
});

test("a log has a URL, the engine's without a task", () => {
  assert.equal(logPath("api/x/runs/7", null), "api/x/runs/7/log");
  assert.equal(logPath("api/x/runs/7", "9", { before: "b/1+2" }), "api/x/runs/7/log?task=9&before=b%2F1%2B2");
});

test("a failure is one sentence about the failed task, with the likely cause from its log", () => {
  const run = { id: "7", status: "FAILED", failureReason: "RUN_TASK_FAILED", statusMessage: "Run failed" };
  const failed = [{ taskId: "1", name: "ALIGN (s1)", failureReason: "OUT_OF_MEMORY_ERROR", statusMessage: "killed", logLines: ["a", "\u001b[31mKilled"] }, { taskId: "2" }];
  const found = failureOf({ run, failed, failedTotal: 3, nextStep: "Give it more." });
  assert.equal(found.what, "ALIGN (s1) failed with OUT_OF_MEMORY_ERROR, the first of 3 failed tasks (RUN_TASK_FAILED).");
  assert.equal(found.why, "killed. Run failed.");
  assert.deepEqual(found.cause, { line: "Killed", at: 2, of: 2 });
  assert.equal(failureOf({ run: { status: "COMPLETED" }, failed }), null);
  assert.equal(failureOf({ run: { status: "RUNNING" }, failed }), null);
  assert.equal(failureOf({ run: { status: "CANCELLED" }, nextStep: "x" }).what, "The run was cancelled.");
  assert.match(failureOf({ run: { ...run, failureReason: "EXPORT_FAILED" }, nextStep: "x" }).what, /^The run failed \(EXPORT_FAILED\)\.$/);
});

test("a run is named by its workflow and its sample, and its request ID is a detail", () => {
  const view = new RunView();
  const run = { id: "7", status: "RUNNING", name: "scheduled.0123456789abcdef", workflowId: "12", workflowName: "sarek" };
  view.update(runAnswer({ run, label: "NA12878" }), 0);
  assert.equal(view.name, "sarek · NA12878");
  assert.match(view.node.shown("details"), /scheduled\.0123456789abcdef/);
  view.update(runAnswer({ run: { ...run, workflowName: undefined } }), 0);
  assert.equal(view.name, "Workflow 12");
});

test("the next step is beside the failure, and only users who may read logs can open them", () => {
  const view = new RunView({ pathOf: (id) => `runs/${id}` });
  view.update(runAnswer({ run: { id: "7", status: "FAILED", failureReason: "EXPORT_FAILED" }, nextStep: "Check the bucket." }), 0);
  assert.match(view.node.shown("next-step"), /Check the bucket/);
  assert.equal(view.node.shown("open-log"), "");
  view.update(runAnswer({ run: { id: "7", status: "FAILED", failureReason: "EXPORT_FAILED" }, nextStep: "Check the bucket.", logs: true }), 0);
  assert.match(view.node.shown("open-log"), /engine log/);
});

test("outputs have URLs, whatever their names", () => {
  assert.equal(listPath("api/runs/7", ""), "api/runs/7/outputs");
  assert.equal(listPath("api/runs/7", "out/a&b/"), "api/runs/7/outputs?folder=out%2Fa%26b%2F");
  assert.equal(viewPath("api/runs/7", "out/a b#1.html"), "api/runs/7/outputs/view?path=out%2Fa+b%231.html");
  assert.equal(viewPath("api/runs/7", "a.html", { alone: true }), "api/runs/7/outputs/view?path=a.html&alone=true");
  assert.deepEqual(["out/a/b.txt", "b.txt", "out/a/"].map(folderOf), ["out/a/", "", "out/a/"]);
  assert.deepEqual(trailOf("out/a/"), ["", "out/", "out/a/"]);
  assert.deepEqual(trailOf(""), [""]);
});

test("a list of outputs shows its size, and whether it is incomplete", () => {
  const of = (folders, files, truncated = false) => countWords({ folders: Array(folders), files: Array(files), truncated });
  assert.equal(of(0, 0), "Nothing is here.");
  assert.equal(of(1, 2), "1 folder, 2 files");
  assert.equal(of(0, 1000, true), "The first 1,000 only: 1,000 files. S3 has more.");
});

test("a size has two decimals at most, and a unit", () => {
  const sizes = { 0: "0 bytes", 1023: "1,023 bytes", 1024: "1 KiB", 1610612736: "1.5 GiB", 109951162777600: "100 TiB" };
  for (const [size, words] of Object.entries(sizes)) assert.equal(f.bytes(Number(size)), words);
  assert.equal(f.bytes(undefined), "–");
});

test("outputs are offered to users who may see them, and listed on request", async (t) => {
  const view = new RunView({ pathOf: (id) => `runs/${id}` });
  view.update(runAnswer({}), 0);
  assert.deepEqual([view.node.shown("outputs"), view.node.shown("open-outputs")], ["", ""]);
  view.update(runAnswer({ outputs: true }), 0);
  assert.match(view.node.shown("open-outputs"), /Outputs/);
  const answers = [
    { folders: ["out/"], files: [{ name: "a.bam", size: 2048 }, { name: "b.pdf", size: 1, view: "tab" }], truncated: false, named: [{ name: "W.bam", files: [{ name: "out/x.html", view: "frame" }], more: 3, others: 1 }] },
    { folders: [], files: [], truncated: false, notices: ["No s3:GetObject."] },
  ];
  const asked = t.mock.method(globalThis, "fetch", async () => new Response(JSON.stringify(answers.shift())));
  const { outputs } = view;
  await outputs.load("");
  const text = view.node.shown("outputs");
  for (const part of [/W\.bam\s+out\/x\.html\s+3 more, 1 value that is not shown/, /out\/\s+a\.bam\s+2 KiB/, /b\.pdf/, /1 folder, 2 files/]) assert.match(text, part);
  await outputs.load("out/");
  assert.equal(asked.mock.calls[1].arguments[0], "runs/7/outputs?folder=out%2F");
  assert.match(view.node.shown("outputs"), /No s3:GetObject.*W\.bam.*All outputs\s+out.*Nothing is here/);
  asked.mock.mockImplementation(async () => new Response(JSON.stringify({ detail: "Outputs are off." }), { status: 404 }));
  await outputs.load("");
  assert.match(view.node.shown("outputs"), /cannot be listed: Outputs are off/);
});

test("the largest wastes are named, by process, with the requested and used amount", () => {
  const hours = 3600;
  const of = (id, name, cpus, memory, cpusAverage, memoryMaximumGiB) =>
    modelOf({ taskId: id, name, status: "COMPLETED", creationTime: iso(0), startTime: iso(0), stopTime: iso(hours), cpus, memory, cpusAverage, memoryMaximumGiB });
  const models = [
    ...Array.from({ length: 12 }, (_, n) => of(`a${n}`, `P:BWAMEM1_MEM (s${n})`, 4, 48, 3.8, n === 0 ? 9 : 4)),
    of("b", "P:FASTQC (s1)", 16, 8, 3.2, 7.9), of("c", "P:SMALL (s1)", 2, 4, 1, 1), of("d", "P:TINY (s1)", 1, 1, 0.1, 0.1), of("e", "P:NONE (s1)", 64, 512),
  ];
  assert.deepEqual(wastesOf(models).map(({ words }) => words), [
    "BWAMEM1_MEM requested 48 GiB, used at most 9 GiB in 12 tasks", "FASTQC requested 16 CPUs, used 3.2 on average in 1 task", "SMALL requested 2 CPUs, used 1 on average in 1 task",
  ]);
  const { cpu, memory, tasks } = totalsOf(models);
  assert.equal(tasks, 15);
  assert.equal(cpu.requested, 48 + 16 + 2 + 1);
  assert.equal(Math.round(memory.used * 10) / 10, 9 + 44 + 7.9 + 1 + 0.1);
  assert.deepEqual(wastesOf([of("x", "GOOD", 4, 8, 3.9, 7.8)]), []);
});

test("a running task shows what it uses, an ended one what it used", () => {
  const running = task("a", "RUNNING", 0, 0, null, { memory: 8, cpusInUse: 1.5, memoryInUseGiB: 6 });
  assert.deepEqual([running.cpusUsed, running.memoryUsed, useWords(running)], [1.5, 6, ["CPUs in use", "memory in use"]]);
  const ended = task("a", "COMPLETED", 0, 0, 9, { memory: 8, cpusAverage: 1 });
  assert.deepEqual([ended.cpusUsed, ended.memoryUsed, useWords(ended)], [1, null, ["CPUs used on average", "memory used at most"]]);
  const [group] = groupsOf([task("a", "COMPLETED", 0, 0, 9, { memory: 8 }), running], 10_000);
  assert.deepEqual([group.memoryUsed, useWords(group)], [6, ["CPUs, in use", "memory in use"]]);
});

test("an estimate has its inputs, its date and its omissions", () => {
  assert.deepEqual([usd(1234.5), usd(0), usd(0.001), usd(null)], ["$1,234.50", "$0.00", "< $0.01", "–"]);
  const instance = { resource: "omics.m.large", tasks: 3, quantity: 1.5, usdPerUnit: 0.12, usd: 0.18 };
  const storage = { resource: "Dynamic Run Storage" };
  assert.deepEqual(cellsOf(instance), ["omics.m.large", "3", "1.5 hours", "$0.12 per hour", "$0.18"]);
  assert.deepEqual(cellsOf({ ...storage, quantity: 1 }), ["Dynamic Run Storage", "–", "1 GiB hour", "Not known", "–"]);
  const cost = new Cost();
  cost.update(undefined);
  assert.equal(cost.node.hidden, true);
  cost.update({ usd: 0.18, isPartial: true, amounts: [instance, storage], priceListDate: "2026-11-20T23:59:59Z" });
  assert.match(cost.node.shown("cost"), /At least \$0\.18.*omics\.m\.large.*Dynamic Run Storage.*price list of Nov 20, 2026.*without discounts/s);
  cost.update({ usd: 0.18, isPartial: false, amounts: [instance] });
  assert.doesNotMatch(cost.node.shown("cost"), /At least|Dynamic/);
});
