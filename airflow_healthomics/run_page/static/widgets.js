// SPDX-FileCopyrightText: The airflow-healthomics authors
// SPDX-License-Identifier: Apache-2.0

// The parts that several views are made of. Each has a `node` and changes it in place.

import { h, icon, keyed, setAttr, setText, show } from "./dom.js";
import { byState, dateTime, kin, number, stateWord, utc } from "./format.js";
import { copyButton, linkOut } from "./links.js";

/** A state in words, with an icon and a colour. */
export class Badge {
  constructor(props = {}) {
    this.word = h("span");
    this.icon = h("span", { class: "glyph" });
    this.node = h("span", { class: "badge", ...props }, this.icon, this.word);
  }

  set(status, text = stateWord(status)) {
    if (this.status !== status) {
      this.status = status;
      this.node.dataset.state = kin(status);
      this.node.dataset.status = status;
      this.icon.replaceChildren(icon(kin(status)));
    }
    setText(this.word, text);
  }
}

/** Say a moment in the reader's zone, with UTC as its title. */
export function setTime(node, ms, words = dateTime(ms)) {
  setText(node, words);
  setAttr(node, "datetime", ms == null ? null : new Date(ms).toISOString());
  setAttr(node, "title", utc(ms));
}

/** Used and requested amount, as numbers and a bar; only the requested one if the usage is not known. */
export class Meter {
  constructor() {
    this.word = h("span");
    this.fill = h("i");
    this.bar = h("span", { class: "meter", "aria-hidden": "true", hidden: true }, this.fill);
    this.said = h("span", { class: "sr" });
    this.node = h("span", { class: "use" }, this.word, this.said, this.bar);
  }

  set(used, requested, unit, words) {
    const known = used !== null && requested > 0;
    setText(this.word, known ? `${number(Math.round(used * 10) / 10)} / ${unit(requested)}` : unit(requested));
    setText(this.said, known ? ` ${words}` : "");
    setAttr(this.node, "title", known ? `${number(used)} of ${unit(requested)} ${words}` : null);
    show(this.bar, known);
    if (known) this.fill.style.width = `${Math.min(100, (100 * used) / requested)}%`;
  }
}

/** Counts by state as one bar, with the numbers below it. */
export class CountsBar {
  constructor(what) {
    this.what = what;
    this.segments = new Map();
    this.bar = h("div", { class: "stack", role: "img" });
    this.node = this.bar;
  }

  update(counts, total) {
    const states = byState(counts);
    const all = Math.max(total ?? 0, states.reduce((sum, [, count]) => sum + count, 0)) || 1;
    const words = states.map(([status, count]) => `${number(count)} ${stateWord(status).toLowerCase()}`);
    setAttr(this.bar, "aria-label", `${this.what}: ${words.join(", ") || "none"}`);
    keyed(
      this.bar,
      this.segments,
      states,
      ([status]) => status,
      ([status]) => ({ node: h("span", { "data-state": kin(status), title: stateWord(status) }) }),
      ({ node }, [, count]) => {
        const width = `${(100 * count) / all}%`;
        if (node.style.width !== width) node.style.width = width;
      },
    );
  }
}

/** Label and value pairs; a pair without a value is not shown. */
export class Facts {
  constructor(className) {
    this.cache = new Map();
    this.node = h("dl", { class: className });
  }

  /** `items`: {label, value, sub?, at? (ms), copy?, mono?} */
  update(items) {
    const shown = items.filter(({ value, at }) => (value != null && value !== "") || at != null);
    keyed(this.node, this.cache, shown, ({ label }) => label, (item) => this.#create(item), (entry, item) => {
      entry.item = item;
      if (item.at != null) setTime(entry.value, item.at);
      else setText(entry.value, item.value);
      setText(entry.sub, item.sub);
      show(entry.sub, Boolean(item.sub));
    });
  }

  #create(item) {
    const entry = { item, value: h(item.at != null ? "time" : "span", { class: item.mono ? "mono" : null }), sub: h("span", { class: "sub" }) };
    const copy = item.copy && copyButton(item.label, () => String(entry.item.value));
    entry.node = h("div", {}, h("dt", {}, item.label), h("dd", {}, h("span", { class: "value" }, entry.value, copy), entry.sub));
    return entry;
  }
}

/** The links of a run or a batch, each with a button that copies it. */
export class Links {
  constructor() {
    this.cache = new Map();
    this.node = h("ul", { class: "links", "aria-label": "Links" });
  }

  update(items) {
    const shown = items.map(([text, address]) => ({ text, address, key: `${text} ${address}` })).filter(({ address }) => address);
    keyed(this.node, this.cache, shown, ({ key }) => key, ({ text, address }) => {
      const link = linkOut(text, address);
      const copy = link && copyButton(`the address: ${text}`, () => link.href);
      return { node: h("li", { hidden: !link }, link, copy) };
    }, () => {});
  }
}

/** The states that were passed through, with the time spent in each. */
export class Steps {
  constructor() {
    this.cache = new Map();
    this.node = h("ol", { class: "steps" });
  }

  /** `steps`: {status, at (ms), words} */
  update(steps) {
    const keys = steps.map((step, index) => ({ ...step, key: `${index} ${step.status}`, last: index === steps.length - 1 }));
    keyed(this.node, this.cache, keys, ({ key }) => key, () => {
      const entry = { badge: new Badge(), time: h("time"), spent: h("span", { class: "sub" }) };
      entry.node = h("li", {}, entry.badge.node, h("span", { class: "when" }, entry.time, entry.spent));
      return entry;
    }, (entry, { status, at, words, last }) => {
      entry.badge.set(status);
      setTime(entry.time, at);
      setText(entry.spent, words);
      show(entry.spent, Boolean(words));
      setAttr(entry.node, "aria-current", last ? "step" : null);
    });
  }
}

/** What could not be found out, and why. */
export class Notices {
  constructor() {
    this.cache = new Map();
    this.node = h("ul", { class: "callout", "data-state": "PENDING", "data-testid": "notices", "aria-label": "What could not be found out", hidden: true });
  }

  update(notices = []) {
    keyed(this.node, this.cache, notices, (text) => text, (text) => ({ node: h("li", {}, text) }), () => {});
    show(this.node, notices.length > 0);
  }
}

/** A paragraph about a failure: the reason in bold, the message after it. */
export class Callout {
  constructor() {
    this.reason = h("strong");
    this.message = h("p");
    this.node = h("div", { class: "callout", "data-testid": "reason", hidden: true }, this.reason, this.message);
  }

  update(reason, message) {
    setText(this.reason, reason);
    setText(this.message, message);
    show(this.reason, Boolean(reason));
    show(this.message, Boolean(message));
    show(this.node, Boolean(reason || message));
  }
}
