// SPDX-FileCopyrightText: The airflow-healthomics authors
// SPDX-License-Identifier: Apache-2.0

// The actions of a reader: cancel the run, start it again, copy its command and its ids.
//
// Each action that changes something is announced in a dialog first. Cancelling is a route of the page; starting
// again is Airflow's own clearTaskInstances. Airflow authorizes both as an edit of the task instance, and logs them.

import { ApiError, post } from "./api.js";
import { announce, h, keyed, setText, show } from "./dom.js";
import { isOver } from "./format.js";
import { copyButton } from "./links.js";

const seg = encodeURIComponent;
const MOST_NAMES = 20;

/** The body of clearTaskInstances for one task instance and what depends on it. */
export function clearBody({ dagRunId, taskId, mapIndex }, dryRun) {
  return {
    dry_run: dryRun,
    dag_run_id: dagRunId,
    task_ids: [mapIndex === "-1" ? taskId : [taskId, Number(mapIndex)]],
    only_failed: false,
    include_downstream: true,
    reset_dag_runs: true,
  };
}

/** The effect of a Clear. */
export function clearWords(count) {
  const others = count > 1 ? ` and ${count - 1} that depend${count === 2 ? "s" : ""} on it` : "";
  return `Airflow clears this task instance${others}, and runs ${count > 1 ? "them" : "it"} again. An active run of the task is cancelled and a new one starts, unless the task has on_clear="reattach".`;
}

/** The ids as lines of text. */
export function idsOf({ run, batch }) {
  const { id, uuid, workflowId, batchId } = run ?? batch;
  return [[run ? "run" : "batch", id], ["uuid", uuid], ["workflow", workflowId], ["batch", batchId]]
    .filter(([, value]) => value)
    .map(([name, value]) => `${name} ${value}`)
    .join("\n");
}

export class Actions {
  /** `done()` is called after an action, so that the page looks again. */
  constructor({ dagId, dagRunId, done }) {
    Object.assign(this, { dagId, dagRunId, done });
    this.cancel = h("button", { type: "button", class: "quiet", "data-testid": "cancel", onclick: () => this.#askToCancel() }, "Cancel");
    this.again = h("button", { type: "button", class: "quiet", "data-testid": "again", onclick: () => this.#askToStart() }, "Start again");
    this.command = copyButton("the command of the AWS CLI, without parameters", () => this.data.command, "Copy command");
    this.ids = copyButton("the ids", () => idsOf(this.data), "Copy ids");
    this.node = h("div", { class: "row", role: "group", "aria-label": "Actions", "data-testid": "actions", hidden: true }, this.cancel, this.again, this.command, this.ids);
    this.title = h("h2", { id: "ask-title" });
    this.words = h("p");
    this.names = h("ul", { class: "names" });
    this.error = h("p", { class: "callout", "data-state": "FAILED", role: "alert", hidden: true });
    this.yes = h("button", { type: "button", class: "quiet", "data-testid": "confirm", onclick: () => this.#confirmed() });
    this.no = h("button", { type: "button", class: "quiet", onclick: () => this.dialog.close() }, "Do nothing");
    this.dialog = h("dialog", { class: "ask", "aria-labelledby": "ask-title", onclose: () => (this.act = null) }, this.title, this.words, this.names, this.error, h("div", { class: "row" }, this.yes, this.no));
    this.cache = new Map();
  }

  /** Offer what can be done with an answer; `path` is that of the task instance or of a run of its batch. */
  update({ answer: data, mayEdit, path, taskId, mapIndex, isPart }) {
    Object.assign(this, { data, path, taskId, mapIndex });
    this.what = data.run ? `run ${data.run.id}` : `batch ${data.batch.id}`;
    show(this.node, true);
    show(this.cancel, mayEdit && !isOver((data.run ?? data.batch).status));
    show(this.again, mayEdit && !isPart); // a Clear starts the whole batch
    show(this.command, Boolean(data.command));
    setText(this.cancel, data.run ? "Cancel run" : "Cancel batch");
  }

  hide() {
    show(this.node, false);
    if (this.dialog.open) this.dialog.close();
  }

  #askToCancel() {
    const { path, what } = this;
    this.#ask(`Cancel ${what}?`, `Its tasks stop, and a cancelled run exports no outputs. The Airflow task that waits for it fails. If it has attempts left, it starts again: to stop that too, mark the task as failed in Airflow.`, "Cancel it", () => post(`${path}/cancel`, {}));
  }

  async #askToStart() {
    const { taskId, mapIndex, dagRunId } = this;
    const route = `../api/v2/dags/${seg(this.dagId)}/clearTaskInstances`;
    const task = { taskId, mapIndex, dagRunId };
    this.#ask("Start again?", "Loading what Airflow would clear …", "Clear and start again", async () => {
      await post(route, clearBody(task, false));
      return { detail: "The task is cleared, and starts again." };
    });
    const { act } = this;
    this.act = null; // nothing to confirm yet
    try {
      const { task_instances: found } = await post(route, clearBody(task, true));
      if (!this.dialog.open) return;
      this.act = act;
      setText(this.words, clearWords(found.length));
      this.#list(found.map((each) => (each.map_index >= 0 ? `${each.task_id} [${each.map_index}]` : each.task_id)));
    } catch (error) {
      this.#failed(error);
    }
  }

  #ask(title, words, verb, act) {
    this.act = act;
    setText(this.title, title);
    setText(this.words, words);
    setText(this.yes, verb);
    this.#list([]);
    show(this.error, false);
    this.dialog.showModal();
    this.no.focus(); // Enter does nothing by mistake
  }

  #list(names) {
    const shown = names.length > MOST_NAMES ? [...names.slice(0, MOST_NAMES), `and ${names.length - MOST_NAMES} more`] : names;
    keyed(this.names, this.cache, shown, (name) => name, (name) => ({ node: h("li", {}, name) }), () => {});
  }

  async #confirmed() {
    const { act } = this;
    if (!act) return;
    this.act = null; // once
    try {
      const { detail } = await act();
      this.dialog.close();
      announce(detail);
      this.done(detail);
    } catch (error) {
      this.act = act;
      this.#failed(error);
    }
  }

  #failed(error) {
    if (!(error instanceof ApiError)) throw error;
    const words = { 401: "You are logged out of Airflow: please log in again.", 403: "You may not edit this task instance." }[error.status];
    setText(this.error, words ?? (error.detail || error.message));
    show(this.error, true);
  }
}
