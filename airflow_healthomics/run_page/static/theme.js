// SPDX-FileCopyrightText: The airflow-healthomics authors
// SPDX-License-Identifier: Apache-2.0

// Airflow marks its theme by the class "dark" or "light" on <html> (next-themes, all of 3.1 to 3.3) and keeps
// the choice in localStorage["theme"]: light, dark or system. The page is framed from the same origin, so it
// can follow the document around it; opened on its own it reads the stored choice.

const system = window.matchMedia("(prefers-color-scheme: dark)");

function around() {
  try {
    return window.parent === window ? null : window.parent.document.documentElement;
  } catch {
    return null; // framed by another origin
  }
}

function stored() {
  try {
    return window.localStorage.getItem("theme");
  } catch {
    return null; // storage is blocked
  }
}

function choose(outer) {
  for (const name of [...(outer?.classList ?? []), stored()]) {
    if (name === "dark" || name === "light") return name;
  }
  return system.matches ? "dark" : "light";
}

function apply() {
  const outer = around();
  const root = document.documentElement;
  root.dataset.theme = choose(outer);
  // A deployment may have a background of its own ([api] theme): without an edge the page looks like a part.
  const background = outer && window.parent.getComputedStyle(outer).getPropertyValue("--chakra-colors-bg").trim();
  if (background) root.style.setProperty("--bg", background);
  else root.style.removeProperty("--bg");
}

export function followTheme() {
  apply();
  const outer = around();
  if (outer) new MutationObserver(apply).observe(outer, { attributes: true, attributeFilter: ["class", "style"] });
  system.addEventListener("change", apply);
  window.addEventListener("storage", (event) => event.key === "theme" && apply());
}
