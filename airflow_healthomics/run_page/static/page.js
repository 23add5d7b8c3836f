// SPDX-FileCopyrightText: The airflow-healthomics authors
// SPDX-License-Identifier: Apache-2.0

// The page: the view that the address selects, its data, and the age of the data.

import { Actions } from "./actions.js";
import { ApiError, get, Poller } from "./api.js";
import { BatchView } from "./batch.js";
import { announce, h, icon, setAttr, setText, show } from "./dom.js";
import { ago, duration, time } from "./format.js";
import { aloneLink } from "./links.js";
import { ListView } from "./list.js";
import { RunView } from "./run.js";
import { followTheme } from "./theme.js";

followTheme();

const PAGE_SIZE = 100;
const LARGEST_PAGE = 5000;
/** A task that has no run yet, and the list of a DAG run, are looked at ever more rarely. */
const SLOW_SECONDS = 15;
const SLOWEST_SECONDS = 120;

const $ = (id) => document.getElementById(id);
const seg = encodeURIComponent;

/** Airflow leaves the placeholder of a map index as it is where the task is not mapped. */
const mapIndexOf = (text) => (/^\d+$/.test(text ?? "") ? text : "-1");

const query = new URLSearchParams(location.search);
const dagRun = `api/dags/${seg(query.get("dag_id") ?? "")}/dagRuns/${seg(query.get("run_id") ?? "")}`;
const framedTask = query.get("task_id") && !query.get("task_id").startsWith("{") ? query.get("task_id") : null;

/** The view that the address selects: its parameters identify the tab, its fragment the place in the tab. */
function routeOf() {
  const inside = new URLSearchParams(location.hash.slice(1));
  const taskId = framedTask ?? inside.get("task");
  const mapIndex = mapIndexOf(framedTask ? query.get("map_index") : inside.get("map"));
  return { taskId, mapIndex, runId: taskId ? inside.get("run") : null };
}

function fragmentOf({ taskId, mapIndex, runId }) {
  const inside = new URLSearchParams();
  if (!framedTask && taskId) {
    inside.set("task", taskId);
    if (mapIndex !== "-1") inside.set("map", mapIndex);
  }
  if (runId) inside.set("run", runId);
  return inside.toString();
}

const keyOf = ({ taskId, mapIndex, runId }) => JSON.stringify([taskId, mapIndex, runId]);

/** The states after which a task does not start a run any more. */
const FINAL_TASK_STATES = {
  success: "has succeeded without one",
  failed: "failed before it had one",
  skipped: "was skipped",
  upstream_failed: "did not run, since a task before it failed",
  removed: "was removed from the DAG",
};

const TASK_STATES = {
  scheduled: "is scheduled",
  queued: "is queued",
  running: "is running",
  deferred: "is waiting (deferred)",
  restarting: "is being restarted",
  up_for_retry: "failed and will be tried again",
  up_for_reschedule: "will look again later",
};

/** Why a start has no run yet, since when, and when it is repeated. */
function delayText({ reason, since, nextAttempt, region }, now) {
  const next = time(nextAttempt) - now;
  const when = next > 0 ? `in ${duration(next)}` : "as soon as it is its turn";
  return `The start has been delayed for ${duration(now - time(since))}: ${reason} in ${region}. It is repeated ${when}.`;
}

const KEPT = "The last known state is shown. ";

const withoutStop = (text) => text?.replace(/\.$/, "");

function unreadable(reason, kept = KEPT) {
  return `The state cannot be read now: ${withoutStop(reason)}. ${kept}`.trim();
}

class NoneView {
  constructor() {
    this.title = h("h1");
    this.words = h("p");
    this.delay = h("p", { "data-testid": "delay" });
    this.node = h("article", { class: "none", "data-testid": "none" }, this.title, this.words, this.delay);
  }

  update({ taskState, delay }, now) {
    this.final = Object.hasOwn(FINAL_TASK_STATES, taskState ?? "");
    const words = FINAL_TASK_STATES[taskState] ?? TASK_STATES[taskState] ?? (taskState ? `is ${taskState}` : "has not started");
    setText(this.title, this.final ? "This task has no HealthOmics run" : "This task has no HealthOmics run yet");
    setText(this.words, `The task ${words}. ${this.final ? "Only tasks that start or await a HealthOmics run have one." : "If it starts a run, the run appears here."}`);
    const delayed = this.final ? null : delay;
    show(this.delay, Boolean(delayed));
    if (delayed) setText(this.delay, delayText(delayed, now));
  }

  get name() {
    return this.title.textContent;
  }

  tick() {}
}

class Page {
  constructor() {
    this.views = new Map();
    this.ahead = 0;
    this.actions = new Actions({ dagId: query.get("dag_id"), dagRunId: query.get("run_id"), done: () => this.refresh() });
    $("main").append(this.actions.dialog);
    window.addEventListener("popstate", () => this.show(routeOf()));
    document.addEventListener("visibilitychange", () => this.beat());
    $("freshness").append(...[aloneLink()].filter(Boolean));
    $("refresh").addEventListener("click", () => this.refresh());
    this.show(routeOf());
    this.beat();
  }

  now() {
    return Date.now() + this.ahead;
  }

  go(route) {
    this.entry.opened = route.runId ?? `${route.taskId} ${route.mapIndex}`;
    history.pushState(null, "", `#${fragmentOf(route)}`);
    this.show(route, true);
  }

  show(route, focus = false) {
    if (this.entry) this.entry.scroll = window.scrollY;
    this.poller?.stop();
    const left = this.entry;
    this.route = route;
    const key = keyOf(route);
    if (!this.views.has(key)) this.views.set(key, { kind: null, view: null, waits: 0, shown: PAGE_SIZE });
    this.entry = this.views.get(key);
    this.#notice(null);
    this.#trail();
    this.actions.hide();
    if (this.entry.view) {
      $("view").replaceChildren(this.entry.view.node);
      this.entry.view.tick(this.now());
      window.scrollTo(0, this.entry.scroll ?? 0);
    } else {
      $("view").replaceChildren(h("p", { class: "empty" }, "Loading …"));
      setAttr($("main"), "aria-busy", "true");
    }
    this.focusNext = focus;
    if (focus && this.entry.view) this.#focus(left);
    this.#poll();
  }

  #path({ taskId, mapIndex, runId }) {
    if (!taskId) return `${dagRun}?limit=${Math.min(LARGEST_PAGE, this.entry.shown)}&offset=0`;
    const task = `${dagRun}/taskInstances/${seg(taskId)}/${seg(mapIndex)}`;
    return runId ? `${task}/runs/${seg(runId)}` : task;
  }

  #poll() {
    this.poller?.stop();
    this.poller = new Poller(this.#path(this.route), { onAnswer: (answer) => this.#answer(answer), onError: (error, delay) => this.#error(error, delay) });
    this.poller.start();
    this.#freshness();
  }

  refresh() {
    this.entry.waits = 0;
    this.#poll();
  }

  #answer({ body, stale, mayEdit, ahead }) {
    this.ahead = ahead;
    const { entry, route } = this;
    const first = !entry.view;
    const seconds = this.#fill(body);
    if (!entry.view) return 0; // went on to another view
    if (entry !== this.entry) return 0;
    entry.asOf = time(body.asOf) ?? this.now();
    entry.polls = seconds > 0;
    entry.live = entry.polls && body.active !== false;
    if (body.run || body.batch) {
      // Moved once: a move takes the focus away.
      if (!entry.view.actions.contains(this.actions.node)) entry.view.actions.append(this.actions.node);
      this.actions.update({ ...route, answer: body, mayEdit, path: this.#path(route), isPart: Boolean(route.runId) });
    }
    // The state of a run that has ended stays as it is.
    this.#notice(stale && entry.polls ? unreadable(stale) : null);
    setAttr($("main"), "aria-busy", null);
    document.title = `${entry.view.name} · HealthOmics`;
    if (first) this.#trail();
    if (first && this.focusNext && route.taskId) this.#focus(null);
    this.#freshness();
    return seconds;
  }

  /** Show an answer; return the seconds until the next question. */
  #fill(body) {
    const { entry, route } = this;
    const kind = route.taskId ? body.kind : "list";
    const part = { list: body.items, none: body, run: body.run, batch: body.batch }[kind];
    // Before a view is touched: the page and the server differ in version while a deployment rolls.
    if (typeof part !== "object" || part === null) throw new ApiError(502, "The answer is not one that this page knows");
    if (kind === "list") return this.#fillList(body);
    this.#ensure(kind);
    entry.view.update(body, this.now());
    if (kind === "none") return entry.view.final ? 0 : this.#slower(entry);
    entry.waits = 0;
    return body.active || body.settling ? Math.max(1, body.pollSeconds ?? 10) : 0;
  }

  #fillList(body) {
    const { entry } = this;
    if (body.total === 1 && body.items.length === 1 && !entry.view) {
      // The only run is shown in the place of the list, so that there is nothing to go back to.
      const [item] = body.items;
      this.single = true;
      this.othersWait = SLOW_SECONDS;
      this.othersAt = Date.now() + SLOW_SECONDS * 1000;
      history.replaceState(null, "", `#${fragmentOf(routeOfItem(item))}`);
      this.show(routeOfItem(item));
      return 0;
    }
    this.#ensure("list");
    entry.view.update(body, this.now());
    setAttr(entry.view.moreButton, "aria-disabled", null);
    return body.pollSeconds > 0 ? Math.max(body.pollSeconds, body.active || body.unread ? 0 : this.#slower(entry)) : 0;
  }

  #slower(entry) {
    return Math.min(SLOWEST_SECONDS, SLOW_SECONDS * 1.3 ** entry.waits++);
  }

  #ensure(kind) {
    const { entry, route } = this;
    if (entry.kind === kind) return;
    entry.kind = kind;
    entry.view = {
      list: () => new ListView({ open: (item) => this.go(routeOfItem(item)), more: () => this.#more() }),
      none: () => new NoneView(),
      batch: () => new BatchView({ openRun: (runId) => this.go({ ...route, runId }), path: this.#path(route) }),
      run: () => new RunView({ pathOf: (runId) => this.#path({ ...route, runId }) }),
    }[kind]();
    $("view").replaceChildren(entry.view.node);
  }

  #more() {
    this.entry.shown += PAGE_SIZE * 4;
    setAttr(this.entry.view.moreButton, "aria-disabled", "true"); // not disabled, which would take the focus away
    this.#poll();
  }

  /** The only run of a DAG run may not stay the only one: then there is a way to the others. */
  async #others() {
    this.othersAt = Infinity;
    try {
      const { body } = await get(`${dagRun}?limit=0`);
      if (body.total > 1) {
        this.single = false;
        this.#trail();
        announce(`${body.total} tasks of this DAG run have a HealthOmics run`);
        return;
      }
    } catch (error) {
      if (!(error instanceof ApiError)) throw error; // the banner is for the run that is shown
    }
    this.othersWait = Math.min(SLOWEST_SECONDS, this.othersWait * 1.3);
    this.othersAt = Date.now() + this.othersWait * 1000;
  }

  #error(error, delay) {
    const { entry } = this;
    const kept = entry.view ? KEPT : "";
    const said = withoutStop(error.detail);
    const detail = said ? ` (${said})` : "";
    this.retryAt = delay === null ? null : Date.now() + delay;
    const words = {
      401: `You are logged out of Airflow: please log in again. ${kept}`,
      403: `You may not see this${detail}. ${kept}`,
      404: `This was not found${detail}. ${kept}`,
      0: `${error.message} ${kept}`,
    }[error.status] ?? unreadable(said || `HTTP ${error.status}`, kept);
    this.#notice(words.trim());
    if (!entry.view) {
      setAttr($("main"), "aria-busy", null);
      $("view").replaceChildren(h("article", { class: "none" }, h("h1", {}, "Nothing to show yet")));
    }
    this.#freshness();
  }

  #notice(text) {
    const node = $("notice");
    if (!text) {
      this.retryAt = null;
      this.failing = false;
      show(node, false);
      node.replaceChildren();
      return;
    }
    this.failing = true;
    show(node, true);
    if (node.firstChild?.textContent === text) return;
    announce(text); // once; the countdown beside it is not for the ears
    node.replaceChildren(h("span", {}, text), h("span", { class: "countdown" }), h("button", { type: "button", class: "quiet", onclick: () => this.refresh() }, "Try again"));
  }

  #trail() {
    const { taskId, mapIndex, runId } = this.route;
    let up = null;
    let words = "";
    if (runId) {
      up = { taskId, mapIndex, runId: null };
      words = "Back to the batch";
    } else if (taskId && !framedTask && !this.single) {
      up = { taskId: null, mapIndex: "-1", runId: null };
      words = "All runs of this DAG run";
    }
    const trail = $("trail");
    show(trail, Boolean(up));
    trail.replaceChildren();
    if (up) trail.append(h("button", { type: "button", class: "quiet", "data-testid": "back", onclick: () => this.go(up) }, icon("back"), words));
  }

  /** Put the focus where the reader went: on the title, or back on what was opened. */
  #focus(left) {
    const { view } = this.entry;
    this.focusNext = false;
    const { opened } = this.entry;
    this.entry.opened = null;
    if (opened && left) {
      const again = view.node.querySelector(`[data-run="${CSS.escape(opened)}"]`);
      if (again) return again.focus();
      if (view.focus) return view.focus(opened);
    }
    const title = view.node.querySelector("h1");
    setAttr(title, "tabindex", "-1");
    return title?.focus({ preventScroll: true });
  }

  #freshness() {
    const { entry } = this;
    const state = this.failing ? "failing" : !entry.view ? "loading" : entry.live ? "live" : entry.polls ? "quiet" : "ended";
    const live = $("live");
    setAttr(live, "data-live", state);
    setText(live, { failing: "Not up to date", loading: "Loading", live: "Live", quiet: "Nothing is running", ended: "Final" }[state]);
    setText($("updated"), entry.asOf ? `updated ${ago(this.now() - entry.asOf)}` : "");
    const countdown = $("notice").querySelector(".countdown");
    if (countdown) setText(countdown, this.retryAt ? `Trying again in ${duration(Math.max(0, this.retryAt - Date.now()))}.` : "");
  }

  /** Once a second, while somebody can see it. */
  beat() {
    clearTimeout(this.timer);
    if (document.hidden) return;
    this.entry.view?.tick(this.now());
    this.#freshness();
    if (this.single && Date.now() >= this.othersAt) this.#others();
    this.timer = setTimeout(() => this.beat(), 1000);
  }
}

function routeOfItem(item) {
  return { taskId: item.taskId, mapIndex: String(item.mapIndex ?? -1), runId: null };
}

if (query.get("dag_id") && query.get("run_id")) new Page();
else {
  $("bar").hidden = true;
  setAttr($("main"), "aria-busy", null);
  $("view").replaceChildren(h("p", { class: "empty" }, "This page belongs to a DAG run: open it from the tab of a task instance or a DAG run."));
}
