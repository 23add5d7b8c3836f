// SPDX-FileCopyrightText: The airflow-healthomics authors
// SPDX-License-Identifier: Apache-2.0

// The lines of a log, and which one looks like the cause of a failure; pure.

// The escape sequences of terminals: colours and cursor moves (CSI), titles (OSC), and the short ones.
const ESCAPES = /\u001b(?:\[[0-?]*[ -/]*[@-~]|\][^\u0007\u001b]*(?:\u0007|\u001b\\)|[ -/]*[0-~])/g;
const CONTROLS = /[\u0000-\u0008\u000b-\u001f\u007f]/g;

/** A line without what only a terminal understands. */
export const plain = (line) => line.replace(ESCAPES, "").replace(CONTROLS, "");

/**
 * Marks of a line that looks like a cause, the most specific first. Words that also occur in good logs count only in
 * the form in which tools report errors: "error:" and "ERROR", but not "error rate" or "0 errors".
 */
const CAUSES = [
  [/\bOutOfMemory|\bout of memory\b|cannot allocate memory|\boom[-_ ]?kill/i, "out of memory"],
  [/\bNo space left on device\b/i, "no space left"],
  [/\bKilled\b|\bSIGKILL\b/, "killed"],
  [/\b[A-Z]\w*(?:Exception|Error)\b|\bException in\b/, "exception"],
  [/(?:^|[\s[(])(?:ERROR|FATAL|Error|error|fatal)\b(?:\s*[:\])]|\s+-)|\b(?:ERROR|FATAL)\b/, "error"],
  // Nextflow writes the code on a separate line, below "Command exit status:".
  [/\bexit(?:ed|ing)?\b(?: with)?(?: (?:status|code|error))*[\s:=(]*[1-9]\d*\b/i, "exit code that is not 0"],
];

/** The line that looks most like the cause of a failure: {index, why}, or null. Of equals, the first. */
export function causeOf(lines) {
  for (const [pattern, why] of CAUSES) {
    const index = lines.findIndex((line, at) => pattern.test(/status:\s*$/.test(line) ? `${line} ${(lines[at + 1] ?? "").trim()}` : line));
    if (index >= 0) return { index, why };
  }
  return null;
}

/** The indices of the lines that contain a text, whatever its case. */
export function hits(lines, text) {
  const wanted = text.trim().toLowerCase();
  return wanted ? lines.flatMap((line, index) => (line.toLowerCase().includes(wanted) ? [index] : [])) : [];
}
