// SPDX-FileCopyrightText: The airflow-healthomics authors
// SPDX-License-Identifier: Apache-2.0

// Many rows of equal height, of which only those in view are in the document.

import { keyed, setAttr } from "./dom.js";

/** Rows that are kept above and below the view, so that a quick scroll shows no gap. */
const SPARE = 10;

/** The rows in view, [first, last): of `count` rows, in a box that is scrolled to `top`. */
export function inView(count, top, height, row, spare = SPARE) {
  const first = Math.max(0, Math.min(count, Math.floor(top / row) - spare));
  return [first, Math.min(count, Math.ceil((top + height) / row) + spare)];
}

export class Rows {
  /**
   * `region` scrolls; `body` has the rows, each of `height` pixels; `create(item)` makes a row with a `node` and a
   * `main`, the part that takes the focus; `fill(row, item)` updates it. Arrow keys go from row to row.
   */
  constructor({ region, body, height, create, fill }) {
    Object.assign(this, { region, body, height, create, fill, items: [], cache: new Map(), active: 0 });
    region.addEventListener("scroll", () => this.#soon());
    body.addEventListener("keydown", (event) => this.#keys(event));
    body.addEventListener("focusin", (event) => this.#focused(event));
    if (typeof ResizeObserver === "function") new ResizeObserver(() => this.#soon()).observe(region);
  }

  set(items) {
    const key = this.items[this.active]?.key;
    this.items = items;
    const at = key ? items.findIndex((item) => item.key === key) : -1;
    this.active = at >= 0 ? at : Math.max(0, Math.min(this.active, items.length - 1));
    this.body.style.height = `${items.length * this.height}px`;
    this.draw();
  }

  /** Forget all rows, if they are to be made anew. */
  clear() {
    this.cache.clear();
    this.body.replaceChildren();
  }

  get shown() {
    return [...this.cache.values()];
  }

  draw() {
    const [first, last] = inView(this.items.length, this.region.scrollTop ?? 0, this.region.clientHeight || 600, this.height);
    const indices = Array.from({ length: Math.max(0, last - first) }, (_, index) => first + index);
    // The row with the focus stays, wherever the view is.
    if (this.items.length && this.active < first) indices.unshift(this.active);
    if (this.items.length && this.active >= last) indices.push(this.active);
    keyed(this.body, this.cache, indices.map((index) => ({ index, item: this.items[index] })), ({ item }) => item.key, ({ item }) => this.create(item), (row, { index, item }) => {
      row.index = index;
      row.node.style.top = `${index * this.height}px`;
      setAttr(row.node, "aria-rowindex", index + 2);
      setAttr(row.main, "tabindex", index === this.active ? 0 : -1);
      this.fill(row, item);
    });
  }

  #soon() {
    if (this.waiting) return;
    this.waiting = true;
    requestAnimationFrame(() => {
      this.waiting = false;
      this.draw();
    });
  }

  #keys(event) {
    const page = Math.max(1, Math.floor(this.region.clientHeight / this.height) - 2);
    const by = { ArrowDown: 1, ArrowUp: -1, PageDown: page, PageUp: -page, Home: -Infinity, End: Infinity }[event.key];
    if (!by || event.ctrlKey || event.metaKey || event.altKey) return;
    event.preventDefault();
    this.active = Math.max(0, Math.min(this.items.length - 1, this.active + by));
    this.#reveal();
    this.cache.get(this.items[this.active].key)?.main.focus({ preventScroll: true });
  }

  #focused(event) {
    const row = this.shown.find(({ node }) => node.contains(event.target));
    if (!row || row.index === this.active) return;
    this.active = row.index;
    this.draw();
  }

  #reveal() {
    const head = this.body.offsetTop;
    const top = this.active * this.height;
    const { region } = this;
    if (top < region.scrollTop) region.scrollTop = top;
    else if (top + this.height > region.scrollTop + region.clientHeight - head) region.scrollTop = top + this.height - region.clientHeight + head;
    this.draw();
  }
}
