// SPDX-FileCopyrightText: The airflow-healthomics authors
// SPDX-License-Identifier: Apache-2.0

// A row of the tasks: a task, or all tasks of a process. An update writes only what has changed.

import { CutName } from "./cutname.js";
import { h, icon, keyed, setAttr, setText, show } from "./dom.js";
import * as f from "./format.js";
import { COLUMNS, isLive, phases, timesOf, useWords } from "./tasks.js";
import { Badge, Meter, setTime } from "./widgets.js";

const TEMPLATE = h("tr", { role: "row" }, COLUMNS.map(({ id, num }) =>
  h(id === "name" ? "th" : "td", { class: `c-${id}${num ? " num" : ""}`, role: id === "name" ? "rowheader" : "cell", scope: id === "name" ? "row" : null },
    id === "timeline" ? h("span", { class: "track", role: "img" }, h("span", { class: "queued" }), h("span", { class: "ran" })) : null,
    id === "start" ? h("time") : null)));

export class TaskRow {
  /** `canOpen`: whether the row of a task opens its log. */
  constructor(model, canOpen) {
    this.node = TEMPLATE.cloneNode(true);
    this.cells = Object.fromEntries(COLUMNS.map(({ id }, index) => [id, this.node.children[index]]));
    this.time = this.cells.start.firstChild;
    [this.track] = this.cells.timeline.children;
    [this.queued, this.ran] = this.track.children;
    this.name = new CutName();
    this.tag = new CutName();
    this.cpus = new Meter();
    this.memory = new Meter();
    this.cells.tag.append(this.tag.node);
    this.cells.cpus.append(this.cpus.node);
    this.cells.memory.append(this.memory.node);
    const props = { class: "fold", tabindex: "-1" };
    if (model.of) {
      this.chips = new Map();
      this.main = h("button", { type: "button", ...props, "aria-expanded": "false" }, icon("chevron"), this.name.node);
    } else {
      this.badge = new Badge();
      this.cells.state.append(this.badge.node);
      this.main = canOpen
        ? h("button", { type: "button", ...props }, icon("log"), this.name.node, (this.words = h("span", { class: "sr" })))
        : h("span", props, this.name.node);
    }
    this.cells.name.append(this.main);
  }

  /** `context`: {now, timeline, open (keys)} */
  fill(model, { now, timeline, open }) {
    this.model = model;
    this.live = model.of ? model.live : isLive(model);
    const sign = JSON.stringify(model.of ? { ...model, of: model.of.length, open: open.has(model.key) } : model);
    const changed = this.sign !== sign;
    if (!changed && this.scale === timeline.key && !this.live) return;
    if (changed) this.#words(open, timeline);
    this.sign = sign;
    this.scale = timeline.key;
    this.bar(now, timeline, true);
  }

  #words(open, timeline) {
    const { cells, model } = this;
    this.main.dataset.key = model.key;
    const size = model.of?.length;
    this.track.dataset.state = f.kin(model.usual ?? model.status);
    this.node.classList.toggle("child", Boolean(model.child));
    this.node.classList.toggle("group", Boolean(model.of));
    this.name.set(model.shown, model.process);
    this.tag.set(model.of ? `${f.number(size)} ${size === 1 ? "task" : "tasks"}` : model.tag);
    if (this.words) setText(this.words, ` ${model.tag}, open its log`);
    if (model.of) {
      setAttr(this.main, "aria-expanded", open.has(model.key));
      this.#chips(model.counts);
    } else this.badge.set(model.status);
    setTime(this.time, model.started, f.clock(model.started, timeline.begin));
    const [cpus, memory] = useWords(model);
    this.cpus.set(model.cpusUsed, model.cpus, f.number, cpus);
    this.memory.set(model.memoryUsed, model.memory, f.gib, memory);
    setText(cells.gpus, f.number(model.gpus));
    setText(cells.instance, model.instance?.replace(/^omics\./, "") ?? (model.instances ? `${model.instances} types` : "–"));
    setAttr(cells.instance, "title", model.instance);
    setText(cells.cache, model.of ? (model.cached ? `${model.cached}/${size}` : "–") : model.cached ? "Hit" : "–");
  }

  /** The states of a group: an icon and a number each, in words for the ear and the pointer. */
  #chips(counts) {
    keyed(this.cells.state, this.chips, f.byState(counts), ([status]) => status, ([status]) => {
      const badge = new Badge({ title: f.stateWord(status) });
      badge.node.append(h("span", { class: "sr" }, ` ${f.stateWord(status).toLowerCase()} `));
      return { node: badge.node, badge, status };
    }, ({ badge, status }, [, count]) => badge.set(status, f.number(count)));
  }

  /** Draw the times; `words` says them to a screen reader, too. */
  bar(now, timeline, words = false) {
    const { model, cells } = this;
    const several = model.of?.length > 1;
    const { ran, queued, total } = model.of ? (model.live ? timesOf(model.of, now) : model) : { ...phases(model, now), total: null };
    const prefix = several ? "≤" : "";
    setText(cells.duration, ran === null ? "–" : prefix + f.brief(ran));
    setText(cells.queue, queued === null ? "–" : prefix + f.brief(queued));
    setText(cells.total, f.brief(total ?? ran));
    const end = model.stopped ?? (this.live ? now : null);
    timeline.place(this.queued, model.created, model.started ?? end);
    timeline.place(this.ran, model.started, end);
    if (!words) return;
    const said = [];
    if (queued !== null) said.push(`queued ${several ? "at most " : ""}${f.duration(queued)}`);
    if (ran !== null) said.push(`${several ? "ran at most" : this.live ? "running for" : "ran"} ${f.duration(ran)}`);
    const first = model.created ?? model.started;
    if (first !== null) said.push(`created ${f.duration(first - timeline.begin)} after the start`);
    setAttr(this.track, "aria-label", said.join(", ") || "no times yet");
    setAttr(this.track, "title", said.join(", "));
  }
}
