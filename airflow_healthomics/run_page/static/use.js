// SPDX-FileCopyrightText: The airflow-healthomics authors
// SPDX-License-Identifier: Apache-2.0

// The CPUs and the memory that the tasks of a run requested and used.

import { h, keyed, setText, show } from "./dom.js";
import * as f from "./format.js";
import { shortName } from "./names.js";
import { groupsOf, phases } from "./tasks.js";
import { Meter } from "./widgets.js";

/** CPUs and memory are compared by the instances of HealthOmics for general purposes, with 4 GiB for each CPU. */
const GIB_PER_CPU = 4;

const HOUR = 3_600_000;

/** As exact as it is useful. */
const about = (value) => (value == null ? null : Math.round(value * 10) / 10);

/** How many wastes are named, and the part of a request that must be unused to be one. */
const NAMED = 3;
const WASTED = 0.25;

/**
 * Amounts requested and used by the tasks whose usage is known: {cpu, memory}, each {requested, used} in hours of CPUs or
 * GiB. The memory is the most that a task used, as if it had used that all the time.
 */
export function totalsOf(models, now = 0) {
  const totals = { cpu: { requested: 0, used: 0 }, memory: { requested: 0, used: 0 }, tasks: 0 };
  for (const model of models) {
    const hours = (phases(model, now).ran ?? 0) / HOUR;
    if (!hours || (model.cpusUsed === null && model.memoryUsed === null)) continue;
    totals.tasks += 1;
    for (const [part, requested, used] of [["cpu", model.cpus, model.cpusUsed], ["memory", model.memory, model.memoryUsed]]) {
      if (requested === null || used === null) continue;
      totals[part].requested += requested * hours;
      totals[part].used += Math.min(requested, used) * hours;
    }
  }
  return totals;
}

/** The largest wastes, by process: {key, process, what, words, lost}. */
export function wastesOf(models, now = 0) {
  const wastes = [];
  for (const { process, of } of groupsOf(models, now)) {
    const known = of.filter((model) => model.cpusUsed !== null || model.memoryUsed !== null);
    const { cpu, memory } = totalsOf(known, now);
    const [group] = groupsOf(known, now);
    if (!group) continue;
    const several = (field) => (new Set(known.map((model) => model[field])).size > 1 ? "up to " : "");
    const count = `${f.number(known.length)} ${known.length === 1 ? "task" : "tasks"}`;
    const name = shortName(process);
    const note = (what, { requested, used }, factor, words) => {
      if (requested > 0 && 1 - used / requested >= WASTED) wastes.push({ key: `${what} ${process}`, process, what, words: `${name} ${words} in ${count}`, lost: (requested - used) * factor, requested, used });
    };
    note("memory", memory, 1 / GIB_PER_CPU, `requested ${several("memory")}${f.gib(group.memory)}, used at most ${f.gib(about(group.memoryUsed))}`);
    note("CPUs", cpu, 1, `requested ${several("cpus")}${f.number(group.cpus)} ${group.cpus === 1 ? "CPU" : "CPUs"}, used ${f.number(about(group.cpusUsed))} on average`);
  }
  return wastes.sort((a, b) => b.lost - a.lost).slice(0, NAMED);
}

export class Use {
  constructor() {
    this.cache = new Map();
    this.cpu = new Meter();
    this.memory = new Meter();
    this.list = h("ol", { class: "wastes", "aria-label": "The largest wastes" });
    this.none = h("p", { class: "sub" }, "No process left a quarter of its CPUs or memory unused.");
    this.note = h("p", { class: "sub" });
    this.node = h("section", { class: "card", "aria-labelledby": "use-title", "data-testid": "use", hidden: true },
      h("h2", { id: "use-title" }, "Used of the requested resources"),
      h("dl", { class: "totals" }, h("div", {}, h("dt", {}, "CPU hours"), h("dd", {}, this.cpu.node)), h("div", {}, h("dt", {}, "GiB hours of memory, at most"), h("dd", {}, this.memory.node))),
      this.list, this.none, this.note);
  }

  update(models) {
    const { cpu, memory, tasks } = totalsOf(models);
    show(this.node, tasks > 0);
    if (!tasks) return;
    this.cpu.set(cpu.requested ? cpu.used : null, about(cpu.requested) || null, f.number, "CPU hours used");
    this.memory.set(memory.requested ? memory.used : null, about(memory.requested) || null, f.number, "GiB hours used at most");
    const wastes = wastesOf(models);
    keyed(this.list, this.cache, wastes, ({ key }) => key, () => {
      const entry = { words: h("span"), meter: new Meter() };
      entry.node = h("li", {}, entry.words, entry.meter.node);
      return entry;
    }, ({ words, meter }, { words: text, what, requested, used }) => {
      setText(words, `${text}.`);
      const unit = what === "CPUs" ? "CPU hours" : "GiB hours";
      meter.set(used, requested, (value) => `${f.number(about(value))} ${unit}`, "used");
    });
    show(this.none, !wastes.length);
    setText(this.note, tasks < models.length ? `Known for ${f.number(tasks)} of ${f.number(models.length)} tasks, those that ran and are in the run's manifest.` : "");
  }
}
