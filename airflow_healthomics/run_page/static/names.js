// SPDX-FileCopyrightText: The airflow-healthomics authors
// SPDX-License-Identifier: Apache-2.0

// The names of tasks, shortened but distinct; pure.

/** The forms of names that say where the process ends. The first that fits counts. */
const FORMS = [
  /^(\S+)\s+\((.*)\)\s*$/, // Nextflow
  /^(.*\S)\s*\((.*)\)\s*$/,
  /^(.*\S)\s*\[([^\]]*)\]\s*$/,
  /^(\S+)\s+(.*\S)\s*$/, // names of processes in Nextflow and WDL have no space
  /^([^-]+)-(\d+-\d+.*)$/, // WDL, as task_base_name of AWS HealthOmics Tools has it
];

/**
 * The process of a task and what distinguishes its copies: "P:ALIGN (sample 7)" is P:ALIGN and sample 7, as Nextflow
 * writes them; "align C0L01.1" is align and C0L01.1; "align-3-1234" and "align_3", as WDL and CWL write them, are align
 * and the numbers; "call-hc-shard-12" is call-hc and shard-12. Without such a form, numbers at the end are the tag.
 */
export function nameParts(name) {
  const found = FORMS.map((form) => form.exec(name)).find(Boolean);
  if (found) return { process: found[1], tag: found[2] };
  const process = name.replace(/(?:[-_.:]+(?:(?:shard|scatter|attempt|idx)[-_.:]*)?\d+)+$/i, "");
  return process ? { process, tag: name.slice(process.length).replace(/^[-_.:]+/, "") } : { process: name, tag: "" };
}

/** A name without the workflows that its process is in: "P:Q:ALIGN (s7)" is ALIGN (s7). */
export const shortName = (name) => name.replace(/^(?:[^\s():]+:)+(?=[^\s:])/, "");

/**
 * The shortest end of each process that distinguishes it from the others, as a map: "P:Q:ALIGN" is ALIGN, and
 * "P:Q:STATS" beside "P:R:STATS" is Q:STATS.
 */
export function shortest(processes) {
  const all = [...new Set(processes)].map((process) => {
    const parts = process.split(":");
    return [process, parts.map((_, index) => parts.slice(-1 - index).join(":")).filter(Boolean)];
  });
  const counts = new Map();
  for (const end of all.flatMap(([, ends]) => ends)) counts.set(end, (counts.get(end) ?? 0) + 1);
  return new Map(all.map(([process, ends]) => [process, ends.find((end) => counts.get(end) === 1) ?? process]));
}

/** The title of a run or batch: its workflow, and what distinguishes it. The name is a detail, as it is often a request ID. */
export const titleOf = ({ workflowId, workflowName }, label) => [workflowName ?? (workflowId && `Workflow ${workflowId}`), label].filter(Boolean).join(" · ");

const LONGEST_END = 24;

/**
 * A name in two parts: the first may be cut at its end, the second may not, since it distinguishes names. That is the
 * last part of a process, or the last characters of anything else.
 */
export function ends(name, keep = 10) {
  const part = name.lastIndexOf(":");
  const last = part > 0 && name.length - part <= LONGEST_END ? name.length - part : keep;
  return name.length <= last ? ["", name] : [name.slice(0, -last), name.slice(-last)];
}
