// SPDX-FileCopyrightText: The airflow-healthomics authors
// SPDX-License-Identifier: Apache-2.0

// Small helpers to build the page and to change it in place: text is only ever set as text, and a node that
// already says the right thing is left alone, so that focus, selection, scroll and open details survive.

const SVG = "http://www.w3.org/2000/svg";

const ICONS = {
  PENDING: "M8 2.5a5.5 5.5 0 1 0 0 11 5.5 5.5 0 0 0 0-11M8 5v3.2l2.2 1.4",
  STARTING: "M8 13V4M4.5 7.2 8 3.7l3.5 3.5",
  RUNNING: "M5 3.5v9l7.5-4.5z",
  STOPPING: "M4.5 4.5h7v7h-7z",
  COMPLETED: "M3.2 8.6l3.2 3.2 6.4-7",
  FAILED: "M4 4l8 8M12 4l-8 8",
  CANCELLED: "M8 2.5a5.5 5.5 0 1 0 0 11 5.5 5.5 0 0 0 0-11M4.2 4.2l7.6 7.6",
  DELETED: "M3.5 5h9M6.5 5V3.5h3V5M4.8 5l.5 8h5.4l.5-8",
  open: "M6 3.5H3.5v9h9V10M9 3.5h3.5V7M12.3 3.7 7.5 8.5",
  copy: "M5.5 5.5v-2h7v7h-2M3.5 5.5h7v7h-7z",
  log: "M4 2.5h8v11H4zM6 5.5h4M6 8h4M6 10.5h2.5",
  back: "M9.5 3.5 5 8l4.5 4.5",
  chevron: "M6 3.5 10.5 8 6 12.5",
};

export function icon(name) {
  const svg = document.createElementNS(SVG, "svg");
  svg.setAttribute("viewBox", "0 0 16 16");
  svg.setAttribute("class", "icon");
  svg.setAttribute("aria-hidden", "true");
  const path = document.createElementNS(SVG, "path");
  path.setAttribute("d", ICONS[name] ?? ICONS.PENDING);
  svg.append(path);
  return svg;
}

/** Make an element; `props` are attributes, or listeners if their name starts with "on". */
export function h(tag, props = {}, ...children) {
  const node = document.createElement(tag);
  for (const [name, value] of Object.entries(props)) {
    if (value == null || value === false) continue;
    if (name.startsWith("on")) node.addEventListener(name.slice(2), value);
    else node.setAttribute(name, value === true ? "" : value);
  }
  node.append(...children.flat().filter((child) => child != null));
  return node;
}

export function setText(node, text) {
  const value = text == null ? "" : String(text);
  if (node.textContent !== value) node.textContent = value;
}

export function setAttr(node, name, value) {
  if (value == null) {
    if (node.hasAttribute(name)) node.removeAttribute(name);
  } else if (node.getAttribute(name) !== String(value)) node.setAttribute(name, value);
}

export function show(node, shown) {
  if (node.hidden === Boolean(shown)) node.hidden = !shown;
}

/**
 * Make the children of `parent` the nodes of `items`, by key; nodes that stay are moved only if they must be.
 *
 * The nodes are remembered in `cache` (a Map), and `update` is called for each that is shown. With `keep` the
 * nodes of items that have gone are remembered too, for lists that are filtered.
 */
export function keyed(parent, cache, items, keyOf, create, update, keep = false) {
  const focused = parent.contains(document.activeElement) ? document.activeElement : null;
  const unique = new Map(items.map((item) => [keyOf(item), item]));
  for (const [key, entry] of cache) {
    if (unique.has(key)) continue;
    if (entry.node.parentNode) entry.node.remove();
    if (!keep) cache.delete(key);
  }
  let at = parent.firstChild;
  for (const [key, item] of unique) {
    let entry = cache.get(key);
    if (!entry) cache.set(key, (entry = create(item)));
    update(entry, item);
    if (entry.node === at) at = at.nextSibling;
    else parent.insertBefore(entry.node, at);
  }
  if (focused && focused !== document.activeElement && focused.isConnected) focused.focus({ preventScroll: true });
}

let announcements = 0;

/** Let a screen reader say it, once, when it has time. */
export function announce(text) {
  const announcer = document.getElementById("announcer");
  // The same words twice must be a change to be heard.
  announcer.textContent = announcements++ % 2 ? `${text}\u00a0` : text;
}
