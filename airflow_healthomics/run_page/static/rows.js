// SPDX-FileCopyrightText: The airflow-healthomics authors
// SPDX-License-Identifier: Apache-2.0

// Many rows of equal height, of which only those in view are in the document.

import { setAttr } from "./dom.js";

/** Rows that are kept above and below the view, so that a quick scroll shows no gap. */
const SPARE = 8;

/** The order of rows in the document is put right when nothing has moved for so long. */
const SETTLED_MS = 200;

/** The rows in view, [first, last): of `count` rows, in a box that is scrolled to `top`. */
export function inView(count, top, height, row, spare = SPARE) {
  const first = Math.max(0, Math.min(count, Math.floor(top / row) - spare));
  return [first, Math.min(count, Math.ceil((top + height) / row) + spare)];
}

export class Rows {
  /**
   * `region` scrolls; `body` has the rows, each of `height` pixels; `create(item)` makes a row with a `node` and a
   * `main`, the part that takes the focus; `fill(row, item)` updates it, also if it had another item of the same
   * `kindOf(item)` before. Arrow keys go from row to row.
   */
  constructor({ region, body, height, create, fill, kindOf }) {
    Object.assign(this, { region, body, height, create, fill, kindOf, items: [], cache: new Map(), active: 0 });
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
    const wanted = new Set(indices.map((index) => this.items[index].key));
    const free = new Map();
    for (const [key, row] of this.cache) {
      if (wanted.has(key)) continue;
      this.cache.delete(key);
      free.set(row.kind, [...(free.get(row.kind) ?? []), row]);
    }
    for (const index of indices) this.#place(index, free);
    for (const rows of free.values()) for (const { node } of rows) node.remove();
    clearTimeout(this.settling);
    this.settling = setTimeout(() => this.#settle(), SETTLED_MS);
  }

  /** Fill a row: the one that has the item, one that is free, or a new one. */
  #place(index, free) {
    const item = this.items[index];
    let row = this.cache.get(item.key);
    if (!row) {
      const kind = this.kindOf(item);
      row = free.get(kind)?.pop() ?? this.create(item);
      row.kind = kind;
      this.cache.set(item.key, row);
      if (!row.node.parentNode) this.body.append(row.node);
    }
    row.index = index;
    const top = `${index * this.height}px`;
    if (row.node.style.top !== top) row.node.style.top = top;
    setAttr(row.node, "aria-rowindex", index + 2);
    setAttr(row.main, "tabindex", index === this.active ? 0 : -1);
    this.fill(row, item);
  }

  /** Put the rows in their order, for those who do not go by their place; each move would cost a frame's time. */
  #settle() {
    let at = this.body.firstChild;
    for (const { node } of this.shown.sort((a, b) => a.index - b.index)) {
      if (node === at) at = at.nextSibling;
      else if (!node.contains(document.activeElement)) this.body.insertBefore(node, at);
      else at = node.nextSibling;
    }
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
