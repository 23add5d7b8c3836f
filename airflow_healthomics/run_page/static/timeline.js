// SPDX-FileCopyrightText: The airflow-healthomics authors
// SPDX-License-Identifier: Apache-2.0

// The time axis of the tasks, and the bar of each on it.

import { h, keyed, setAttr, show } from "./dom.js";
import * as f from "./format.js";
import { least, most } from "./tasks.js";

const HOUR = 3_600_000;

export class Timeline {
  constructor() {
    this.ticks = new Map();
    this.node = h("span", { class: "axis", "aria-hidden": "true" });
  }

  /** Choose the axis; while the run is active it ends at a tick, so that bars need not move every second. */
  scale(models, { from, until, active }, now, table) {
    const begin = least([from, ...models.map((m) => m.created ?? m.started)]) ?? now;
    const last = active ? now : (most([until, ...models.map((m) => m.stopped)]) ?? now);
    const span = Math.max(last - begin, 10_000);
    const step = f.tickStep(span);
    this.begin = begin;
    this.end = active ? begin + (Math.floor((span * 1.02) / step) + 1) * step : begin + span;
    const key = `${this.begin} ${this.end}`;
    if (key === this.key) return;
    this.key = key; // rows compare it with the one they were drawn for
    const ticks = [];
    for (let at = 0; at <= this.end - begin; at += step) ticks.push(at);
    const share = (at) => `${((100 * at) / (this.end - begin)).toFixed(3)}%`;
    keyed(this.node, this.ticks, ticks, (at) => `${at} ${step}`, (at) => ({ node: h("span", {}, f.tickLabel(at, step)) }), ({ node }, at) => {
      node.style.left = share(at);
      // Labels that would be cut, in a very narrow column, a narrow one, or any.
      node.classList.toggle("late", at > 0.7 * (this.end - begin));
      node.classList.toggle("later", at > 0.85 * (this.end - begin));
      node.classList.toggle("end", at > 0.94 * (this.end - begin));
    });
    setAttr(this.node, "data-long", step % HOUR ? "yes" : null); // "1 h 30 min": every second label in a narrow column
    table.style.setProperty("--tick", share(step));
    setAttr(this.node, "title", `Time since ${f.dateTime(begin)}`);
  }

  share(ms) {
    return `${((100 * ms) / (this.end - this.begin)).toFixed(2)}%`;
  }

  /** Put a bar where it belongs. */
  place(node, from, to) {
    const shown = from !== null && to !== null;
    show(node, shown);
    if (!shown) return;
    const left = this.share(Math.max(0, from - this.begin));
    const width = this.share(Math.max(0, to - from));
    if (node.style.left !== left) node.style.left = left;
    if (node.style.width !== width) node.style.width = width;
  }
}
