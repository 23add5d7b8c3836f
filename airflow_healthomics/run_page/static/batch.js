// SPDX-FileCopyrightText: The airflow-healthomics authors
// SPDX-License-Identifier: Apache-2.0

// A batch of runs: how many are where, those that failed, and all of them.

import { BatchRuns, policyTile } from "./batch_runs.js";
import { announce, h, keyed, setAttr, setText, show } from "./dom.js";
import * as f from "./format.js";
import { copyButton } from "./links.js";
import { titleOf } from "./names.js";
import { Badge, Callout, CountsBar, Facts, Links, Notices } from "./widgets.js";

export class BatchView {
  /** `openRun(id)` shows a run of the batch; `path` is that of the task instance's API. */
  constructor({ openRun, path }) {
    this.openRun = openRun;
    this.all = new BatchRuns({ path, openRun, onPolicy: (policy) => this.#policy(policy) });
    this.badge = new Badge({ "data-testid": "status" });
    this.title = h("h1");
    this.id = h("span", { class: "mono", "data-testid": "batch-id" });
    this.links = new Links();
    this.actions = h("div", { class: "actions" });
    this.callout = new Callout();
    this.notices = new Notices();
    this.tiles = new Facts("tiles");
    this.bar = new CountsBar("Runs by state");
    this.countCache = new Map();
    this.counts = h("ul", { class: "counts", "aria-label": "Runs by state" });
    this.failedTitle = h("h2", { id: "failed-runs-title" });
    this.rows = new Map();
    this.body = h("tbody");
    this.more = h("p", { class: "sub", hidden: true });
    this.failed = h("section", { class: "card", "aria-labelledby": "failed-runs-title", "data-testid": "failed-runs", hidden: true },
      this.failedTitle,
      h("div", { class: "scroll", role: "region", tabindex: "0", "aria-label": "Failed runs, scrollable" },
        h("table", { class: "plain", "aria-label": "Failed runs" },
          h("thead", {}, h("tr", {}, ["Run setting", "State", "Reason", "Run"].map((word) => h("th", { scope: "col" }, word)))),
          this.body)),
      this.more);
    this.facts = new Facts("facts");
    this.node = h("article", { "data-testid": "batch" },
      h("header", { class: "run-head" },
        h("div", { class: "title" }, this.title, this.badge.node),
        h("div", { class: "meta" },
          h("p", { class: "sub" }, "HealthOmics run batch ", this.id, copyButton("the batch id", () => this.id.textContent)),
          this.actions, this.links.node)),
      this.callout.node,
      this.notices.node,
      this.tiles.node,
      h("section", { class: "card", "aria-labelledby": "runs-title", "data-testid": "counts" }, h("h2", { id: "runs-title" }, "Runs"), this.bar.node, this.counts),
      this.failed,
      this.all.node,
      h("section", { class: "card", "aria-labelledby": "batch-details-title" }, h("h2", { id: "batch-details-title" }, "Batch details"), this.facts.node));
  }

  get name() {
    const { batch, label } = this.data;
    return titleOf(batch, label) || `Batch ${batch.id}`;
  }

  update(data, now) {
    const before = this.data;
    this.data = data;
    this.active = data.active;
    const { batch, counts = {}, failed = [], failedTotal = failed.length } = data;
    setText(this.title, this.name);
    setText(this.id, batch.id);
    this.badge.set(batch.status);
    this.links.update([["Console", data.links?.console], ["Log", data.links?.runLog], ["S3 outputs", data.links?.outputs]]);
    this.callout.update(batch.failureReason && "The batch failed", batch.failureReason);
    setAttr(this.callout.node, "data-state", "FAILED");
    this.notices.update(data.notices);
    this.bar.update(counts, batch.totalRuns);
    keyed(this.counts, this.countCache, f.byState(counts), ([status]) => status, ([status]) => {
      const entry = { badge: new Badge(), count: h("b") };
      entry.badge.set(status);
      entry.node = h("li", { "data-status": status }, entry.badge.node, entry.count);
      return entry;
    }, ({ count }, [, value]) => setText(count, f.number(value)));
    show(this.failed, failed.length > 0 || failedTotal > 0);
    setText(this.failedTitle, failedTotal === 1 ? "1 failed run" : `${f.number(failedTotal)} failed runs`);
    keyed(this.body, this.rows, failed, (run) => `${run.runSettingId} ${run.id ?? ""}`, (run) => this.#row(run), (row, run) => {
      setText(row.setting, run.runSettingId);
      row.badge.set(run.status);
      setText(row.reason, run.failureReason ?? (run.statusMessage ? "" : "–"));
      setText(row.message, run.statusMessage ?? "");
      show(row.message, Boolean(run.statusMessage));
    });
    show(this.more, failedTotal > failed.length);
    setText(this.more, `The first ${f.number(failed.length)} of ${f.number(failedTotal)} are listed here.`);
    this.facts.update([
      { label: "Created", at: f.time(batch.creationTime) },
      { label: "Submitted", at: f.time(batch.submittedTime) },
      { label: "Processed", at: f.time(batch.processedTime) },
      { label: "Failed", at: f.time(batch.failedTime) },
      { label: "Batch name", value: batch.name, copy: true, mono: true },
      { label: "Workflow id", value: batch.workflowId, copy: true, mono: true },
      { label: "Workflow version", value: batch.workflowVersionName },
      { label: "UUID", value: batch.uuid, copy: true, mono: true },
    ]);
    this.now = now;
    this.#moving(now);
    if (before && before.batch.status !== batch.status) announce(`Batch ${batch.id}: ${f.stateWord(batch.status)}`);
  }

  #row(run) {
    const row = { badge: new Badge(), setting: h("th", { scope: "row", class: "mono" }), reason: h("strong"), message: h("p", { class: "message" }) };
    const open = run.id && h("button", { type: "button", class: "quiet", "data-run": run.id, onclick: () => this.openRun(run.id) }, "Open run ", h("span", { class: "mono" }, run.id));
    row.node = h("tr", {}, row.setting, h("td", {}, row.badge.node), h("td", {}, row.reason, row.message), h("td", {}, open || h("span", { class: "sub" }, "was not started")));
    return row;
  }

  #moving(now) {
    const { batch, counts = {} } = this.data;
    const created = f.time(batch.creationTime);
    const end = this.active ? now : (f.time(batch.processedTime) ?? f.time(batch.failedTime));
    const total = batch.totalRuns ?? Object.values(counts).reduce((a, b) => a + b, 0);
    const done = counts.COMPLETED ?? 0;
    this.tiles.update([
      { label: "Duration", value: created !== null && end !== null ? f.duration(end - created) : null },
      { label: "Completed", value: `${f.number(done)} of ${f.number(total)}`, sub: total ? `${Math.floor((100 * done) / total)} %` : "" },
      { label: "Failed", value: f.number(this.data.failedTotal ?? 0) },
      policyTile(this.policy),
    ].filter(Boolean));
  }

  #policy(policy) {
    this.policy = policy;
    this.#moving(this.now);
  }

  tick(now) {
    this.now = now;
    this.all.tick();
    if (this.active) this.#moving(now);
  }
}
