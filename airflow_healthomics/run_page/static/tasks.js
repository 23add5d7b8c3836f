// SPDX-FileCopyrightText: The airflow-healthomics authors
// SPDX-License-Identifier: Apache-2.0

// The tasks of a run as the table shows them: one by one or by process, in the chosen order; pure.

import * as f from "./format.js";
import { nameParts, shortest } from "./names.js";

const NAMES = new Intl.Collator(undefined, { numeric: true, sensitivity: "base" });

/** The cells of a task in the table, with times in milliseconds. */
export function modelOf(task) {
  const name = task.name || task.taskId || "–";
  return {
    key: `t:${task.taskId}`,
    name,
    ...nameParts(name),
    id: task.taskId,
    status: task.status,
    created: f.time(task.creationTime),
    started: f.time(task.startTime),
    stopped: f.time(task.stopTime),
    cpus: task.cpus ?? null,
    memory: task.memory ?? null,
    // A running task may have what it uses now, and an ended one what it used.
    cpusUsed: task.cpusAverage ?? task.cpusInUse ?? null,
    memoryUsed: task.memoryMaximumGiB ?? task.memoryInUseGiB ?? null,
    uses: task.cpusInUse != null || task.memoryInUseGiB != null,
    gpus: task.gpus || null,
    instance: task.instanceType ?? null,
    cached: task.cacheHit ? 1 : 0,
  };
}

/** The cells of all tasks; the process is shown by its shortest end. */
export function modelsOf(tasks) {
  const models = tasks.map(modelOf);
  const ends = shortest(models.map(({ process }) => process));
  return models.map((model) => ({ ...model, shown: ends.get(model.process) }));
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

/** What the figures of CPUs and memory of a task or a process say. */
export const useWords = ({ of, uses }) => [`CPUs${of ? "," : ""} ${uses ? "in use" : "used on average"}`, `memory ${uses ? "in use" : "used at most"}`];

const only = (values) => (new Set(values).size === 1 ? values[0] : null);
export const least = (values) => values.reduce((a, b) => (a === null || (b !== null && b < a) ? b : a), null);
export const most = (values) => values.reduce((a, b) => (a === null || (b !== null && b > a) ? b : a), null);

/** The longest and the total times of the tasks of a process. */
export function timesOf(of, now) {
  const times = of.map((model) => phases(model, now));
  const ran = times.map((each) => each.ran).filter((value) => value !== null);
  return { ran: most(ran), queued: most(times.map((each) => each.queued)), total: ran.length ? ran.reduce((a, b) => a + b, 0) : null };
}

/** The CPUs that tasks used on average, each by the time that it ran; null if that is not known. */
function cpusUsed(of, now) {
  let used = 0;
  let time = 0;
  for (const model of of) {
    const { ran } = phases(model, now);
    if (model.cpusUsed === null || !ran) continue;
    used += model.cpusUsed * ran;
    time += ran;
  }
  return time ? used / time : null;
}

/** Fold the tasks of a process into one model, with the most resources of any. */
export function groupsOf(models, now) {
  const members = new Map();
  for (const model of models) {
    if (!members.has(model.process)) members.set(model.process, []);
    members.get(model.process).push(model);
  }
  return [...members].map(([process, of]) => {
    const counts = {};
    for (const { status } of of) counts[status] = (counts[status] ?? 0) + 1;
    const live = of.some(isLive);
    return {
      key: `g:${process}`,
      name: process,
      process,
      shown: of[0].shown,
      tag: "",
      of,
      counts,
      live,
      status: f.byState(counts)[0][0],
      usual: counts.RUNNING ? "RUNNING" : Object.entries(counts).sort((a, b) => b[1] - a[1])[0][0],
      created: least(of.map((m) => m.created)),
      started: least(of.map((m) => m.started)),
      stopped: live ? null : most(of.map((m) => m.stopped)),
      ...timesOf(of, now),
      cpus: most(of.map((m) => m.cpus)),
      memory: most(of.map((m) => m.memory)),
      cpusUsed: cpusUsed(of, now),
      memoryUsed: most(of.map((m) => m.memoryUsed)),
      uses: of.some((m) => m.uses),
      gpus: most(of.map((m) => m.gpus)),
      instance: only(of.map((m) => m.instance).filter(Boolean)),
      instances: new Set(of.map((m) => m.instance).filter(Boolean)).size,
      cached: of.reduce((sum, m) => sum + m.cached, 0),
    };
  });
}

const times = (model, now) => (model.of ? model : phases(model, now));

/** `down`: the first click sorts downwards, since the most is what one looks for. */
export const COLUMNS = [
  { id: "name", label: "Process", value: (m) => m.shown },
  { id: "tag", label: "Sample/shard", value: (m) => m.tag || null },
  { id: "state", label: "State", value: (m) => f.RUN_STATES.indexOf(m.status) },
  { id: "timeline", label: "Timeline" },
  { id: "duration", label: "Duration", num: true, down: true, value: (m, now) => times(m, now).ran },
  { id: "total", label: "Total", num: true, down: true, value: (m, now) => m.total ?? times(m, now).ran },
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
