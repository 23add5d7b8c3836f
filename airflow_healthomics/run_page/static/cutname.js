// SPDX-FileCopyrightText: The airflow-healthomics authors
// SPDX-License-Identifier: Apache-2.0

// Names that are shortened, and cut in their middle, but whole under the pointer or the focus.

import { h, setAttr, setText } from "./dom.js";
import { ends } from "./names.js";

export class CutName {
  constructor() {
    this.whole = h("span", { class: "sr" });
    this.head = h("span", { class: "head-part", "aria-hidden": "true" });
    this.tail = h("bdi");
    this.node = h("span", { class: "cut" }, this.whole, this.head, h("span", { class: "tail-part", "aria-hidden": "true" }, this.tail));
  }

  /** `name` is the end of the `whole` that is seen. */
  set(name, whole = name) {
    const [head, tail] = ends(name);
    setText(this.whole, whole);
    setText(this.head, head);
    setText(this.tail, tail);
    setAttr(this.node, "data-whole", whole || null);
  }
}

const LINGER_MS = 150;

/** Shows names whole. It is for the eyes: the names themselves are whole for the ears. */
export class WholeName {
  constructor() {
    this.node = h("div", { class: "whole", "aria-hidden": "true", hidden: true, onpointerenter: () => clearTimeout(this.timer), onpointerleave: () => this.#hide() });
    this.keys = (event) => event.key === "Escape" && this.#hide(0);
  }

  /** Follow the pointer and the focus within a node. */
  follow(root) {
    root.addEventListener("pointerover", (event) => this.#over(event.target));
    root.addEventListener("pointerout", () => this.#hide());
    root.addEventListener("focusin", (event) => this.#over(event.target.matches(":focus-visible") ? event.target : null));
    root.addEventListener("focusout", () => this.#hide(0));
  }

  #over(target) {
    const cuts = target ? [target.closest(".cut") ?? target.querySelector?.(".cut")] : [];
    const row = target?.closest("tr");
    const whole = cuts[0]?.dataset.whole;
    if (!whole) return;
    clearTimeout(this.timer);
    setText(this.node, target.matches(".cut, .cut *") ? whole : [...row.querySelectorAll(".cut")].map((cut) => cut.dataset.whole).filter(Boolean).join(" · "));
    const { left, bottom, top } = cuts[0].getBoundingClientRect();
    this.node.hidden = false;
    const { offsetWidth: width, offsetHeight: height } = this.node;
    const below = bottom + height + 8 < window.innerHeight;
    this.node.style.left = `${Math.max(4, Math.min(left - 6, window.innerWidth - width - 20))}px`;
    this.node.style.top = `${below ? bottom + 3 : top - height - 3}px`;
    document.addEventListener("keydown", this.keys);
  }

  #hide(after = LINGER_MS) {
    clearTimeout(this.timer);
    this.timer = setTimeout(() => {
      this.node.hidden = true;
      document.removeEventListener("keydown", this.keys);
    }, after);
  }
}
