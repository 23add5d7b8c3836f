// SPDX-FileCopyrightText: The airflow-healthomics authors
// SPDX-License-Identifier: Apache-2.0

// Values to words; pure, apart from the browser's own zone and language.

export const RUN_STATES = ["FAILED", "RUNNING", "STARTING", "STOPPING", "PENDING", "COMPLETED", "CANCELLED", "DELETED"];

const ENDED = new Set(["COMPLETED", "FAILED", "CANCELLED", "DELETED"]);

export const ended = (status) => ENDED.has(status);

/** The colours and the icon of a state; those of batches and their runs are shown as their nearest kin. */
const KIN = {
  CREATING: "PENDING",
  SUBMITTING: "STARTING",
  INPROGRESS: "RUNNING",
  PROCESSED: "COMPLETED",
  RUNS_DELETING: "STOPPING",
  RUNS_DELETED: "DELETED",
  RUNS_DELETE_FAILED: "FAILED",
};

export function kin(status) {
  if (RUN_STATES.includes(status)) return status;
  if (KIN[status]) return KIN[status];
  return /FAIL/.test(status ?? "") ? "FAILED" : "PENDING";
}

const OVER = new Set([...ENDED, "PROCESSED", "RUNS_DELETED", "RUNS_DELETE_FAILED"]);

/** Whether a run or a batch has ended. */
export const isOver = (status) => OVER.has(status);

const WORDS = { INPROGRESS: "In progress" };

/** "RUNS_DELETED" -> "Runs deleted". */
export function stateWord(status) {
  if (!status) return "Unknown";
  const words = status.replaceAll("_", " ").toLowerCase();
  return WORDS[status] ?? words[0].toUpperCase() + words.slice(1);
}

/** States in the order in which a reader wants them: what is wrong, what is moving, what is done. */
export function byState(counts) {
  const rank = (status) => {
    const own = RUN_STATES.indexOf(status);
    return own >= 0 ? own : RUN_STATES.indexOf(kin(status)) + 0.5;
  };
  return Object.entries(counts ?? {})
    .filter(([, count]) => count > 0)
    .sort(([a], [b]) => rank(a) - rank(b));
}

export function time(text) {
  const value = text ? Date.parse(text) : NaN;
  return Number.isNaN(value) ? null : value;
}

const pad = (value) => String(value).padStart(2, "0");

/** Two units are enough: "2 d 03 h", "1 h 05 min", "3 min 07 s", "12 s". */
export function duration(ms) {
  if (ms == null || Number.isNaN(ms)) return "–";
  const s = Math.max(0, Math.round(ms / 1000));
  if (s < 60) return `${s} s`;
  if (s < 3600) return `${Math.floor(s / 60)} min ${pad(s % 60)} s`;
  const min = Math.floor(s / 60);
  if (min < 1440) return `${Math.floor(min / 60)} h ${pad(min % 60)} min`;
  return `${Math.floor(min / 1440)} d ${pad(Math.floor((min % 1440) / 60))} h`;
}

/** The same in a narrow column: "2d 03h", "1h 05m", "3m 07s", "12s". */
export const brief = (ms) => duration(ms).replace(/ (d|h|m|s)(in)?/g, "$1");

export function ago(ms) {
  const s = Math.max(0, Math.round(ms / 1000));
  if (s < 60) return `${s} s ago`;
  if (s < 3600) return `${Math.floor(s / 60)} min ago`;
  if (s < 172800) return `${Math.floor(s / 3600)} h ago`;
  return `${Math.floor(s / 86400)} days ago`;
}

const DATE_TIME = new Intl.DateTimeFormat(undefined, { dateStyle: "medium", timeStyle: "medium" });
// As in Airflow's UI, and narrow.
const CLOCK = new Intl.DateTimeFormat(undefined, { hour: "2-digit", minute: "2-digit", second: "2-digit", hourCycle: "h23" });
// A run lasts for 7 days at most.
const SHORT = new Intl.DateTimeFormat(undefined, { weekday: "short", hour: "2-digit", minute: "2-digit", hourCycle: "h23" });
const NUMBER = new Intl.NumberFormat(undefined, { maximumFractionDigits: 2 });

const sameDay = (a, b) => new Date(a).toDateString() === new Date(b).toDateString();

export const dateTime = (ms) => (ms == null ? "–" : DATE_TIME.format(ms));
/** The time of day, with the day of the week if it is not that of `day`. */
export const clock = (ms, day) => (ms == null ? "–" : (day != null && !sameDay(ms, day) ? SHORT : CLOCK).format(ms));
export const utc = (ms) => (ms == null ? null : `${new Date(ms).toISOString().replace("T", " ").slice(0, 19)} UTC`);
export const number = (value) => (value == null ? "–" : NUMBER.format(value));
export const gib = (value) => (value == null ? "–" : `${NUMBER.format(value)} GiB`);

const UNITS = ["bytes", "KiB", "MiB", "GiB", "TiB", "PiB"];

/** A size in the unit in which it has the fewest digits: "1.5 GiB". */
export function bytes(value) {
  if (value == null) return "–";
  const unit = UNITS.findIndex((_, index) => value < 1024 ** (index + 1));
  return `${number(value / 1024 ** unit)} ${UNITS[unit]}`;
}

/** "1 file", "2 files". */
export const plural = (count, word) => `${number(count)} ${word}${count === 1 ? "" : "s"}`;

const SECOND = 1000;
const MINUTE = 60 * SECOND;
const HOUR = 60 * MINUTE;
const STEPS = [
  ...[1, 2, 5, 10, 15, 30].map((n) => n * SECOND),
  ...[1, 2, 5, 10, 15, 30].map((n) => n * MINUTE),
  ...[1, 2, 3, 6, 12, 24, 48, 96, 168].map((n) => n * HOUR),
];

/** The distance between the ticks of a time axis with at most `most` of them. */
export const tickStep = (span, most = 5) => STEPS.find((step) => span / step <= most) ?? Math.ceil(span / most);

/** "0", "30 min", "1.5 h", "2 d": the time since the start, as short as it can be. */
export function tickLabel(ms, step) {
  if (ms === 0) return "0";
  if (step < MINUTE) return ms % MINUTE ? `${ms / SECOND} s` : `${ms / MINUTE} min`;
  if (step < HOUR) return ms % HOUR ? (ms > HOUR ? duration(ms) : `${ms / MINUTE} min`) : `${ms / HOUR} h`;
  return ms % (24 * HOUR) ? `${NUMBER.format(ms / HOUR)} h` : `${ms / (24 * HOUR)} d`;
}
