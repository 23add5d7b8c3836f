// SPDX-FileCopyrightText: The airflow-healthomics authors
// SPDX-License-Identifier: Apache-2.0

// The page's only network: its own API, beside it, and one route of Airflow's, with Airflow's cookie.

const TIMEOUT_MS = 30_000;
const LONGEST_MS = 5 * 60_000;

export class ApiError extends Error {
  /** `status` is 0 if there was no answer; `retryAfter` in milliseconds. */
  constructor(status, detail, retryAfter = 0) {
    super(detail || `HTTP ${status}`);
    this.status = status;
    this.detail = detail;
    this.retryAfter = retryAfter;
  }

  /** Whether asking again by itself may help. */
  get passing() {
    return ![400, 401, 403, 404, 422].includes(this.status);
  }
}

export function retryAfterMs(header, now = Date.now()) {
  if (!header) return 0;
  const seconds = Number(header);
  if (Number.isFinite(seconds)) return Math.max(0, seconds * 1000);
  const date = Date.parse(header);
  return Number.isNaN(date) ? 0 : Math.max(0, date - now);
}

/** How long to wait after the n-th failure in a row: doubling, with jitter, never less than the server asks. */
export function backOffMs(failures, pollMs, retryAfter = 0, random = Math.random()) {
  const ceiling = Math.min(LONGEST_MS, pollMs * 2 ** Math.min(failures, 16));
  return Math.max(retryAfter, ceiling * (0.5 + random / 2));
}

/** Return the answer and how far the server's clock is ahead of this one. */
export function get(path, signal) {
  return ask(path, { headers: { Accept: "application/json" } }, signal);
}

/** Send JSON, which no other site can do with the reader's cookie, and return the answer. */
export async function post(path, value) {
  const headers = { Accept: "application/json", "Content-Type": "application/json" };
  return (await ask(path, { method: "POST", headers, body: JSON.stringify(value) })).body;
}

async function ask(path, request, signal) {
  const limit = new AbortController();
  const timer = setTimeout(() => limit.abort(), TIMEOUT_MS);
  const stop = () => limit.abort();
  signal?.addEventListener("abort", stop);
  try {
    const response = await fetch(path, {
      ...request,
      credentials: "same-origin",
      cache: "no-store",
      signal: limit.signal,
    });
    const body = await response.json().catch(() => null);
    if (!response.ok) {
      const detail = typeof body?.detail === "string" ? body.detail : "";
      throw new ApiError(response.status, detail, retryAfterMs(response.headers.get("Retry-After")));
    }
    if (body === null || typeof body !== "object") throw new ApiError(502, "The answer was not JSON.");
    const date = Date.parse(response.headers.get("Date") ?? "");
    const ahead = Number.isNaN(date) ? 0 : date - Date.now();
    const stale = decodeURIComponent(response.headers.get("Healthomics-Stale") ?? ""); // why it is an earlier answer
    const mayEdit = response.headers.get("Healthomics-May-Edit") === "yes";
    return { body, stale, mayEdit, ahead: Math.abs(ahead) > 3000 ? ahead : 0 }; // the header counts whole seconds
  } catch (error) {
    if (error instanceof ApiError || signal?.aborted) throw error;
    throw new ApiError(0, limit.signal.aborted ? "No answer within 30 seconds." : "The server cannot be reached.");
  } finally {
    clearTimeout(timer);
    signal?.removeEventListener("abort", stop); // the signal of a poller outlives many questions
  }
}

/**
 * Ask one address again and again.
 *
 * `onAnswer` returns the seconds until the next question, or 0 if there is nothing more to ask. Nothing is asked
 * while the page is hidden; once it is seen again it asks at once (unless the server said when).
 */
export class Poller {
  constructor(path, { onAnswer, onError }) {
    this.path = path;
    this.onAnswer = onAnswer;
    this.onError = onError;
    this.failures = 0;
    this.pollMs = 10_000;
    this.notBefore = 0;
    this.wanted = true; // somebody waits for the next answer
    this.dueAt = null;
    this.abort = new AbortController();
    this.seen = () => this.#seen();
    document.addEventListener("visibilitychange", this.seen);
  }

  start() {
    this.ask();
    return this;
  }

  stop() {
    this.abort.abort();
    clearTimeout(this.timer);
    document.removeEventListener("visibilitychange", this.seen);
  }

  async ask() {
    clearTimeout(this.timer);
    if (this.asking || this.abort.signal.aborted) return;
    if (document.hidden) {
      this.wanted = true;
      return;
    }
    this.asking = true;
    this.dueAt = null;
    try {
      const answer = await get(this.path, this.abort.signal);
      if (this.abort.signal.aborted) return;
      this.failures = 0;
      this.notBefore = 0;
      const seconds = this.onAnswer(answer);
      this.wanted = seconds > 0;
      if (this.wanted) {
        this.pollMs = seconds * 1000;
        this.#later(this.pollMs * (0.95 + Math.random() / 10)); // many open pages should not ask in step
      }
    } catch (caught) {
      if (this.abort.signal.aborted) return;
      // An answer that the page cannot show must not end the polling without a word.
      const error = caught instanceof ApiError ? caught : new ApiError(502, "The answer could not be shown.");
      if (error !== caught) console.error(caught);
      this.failures += 1;
      this.wanted = true; // also for a 401: the reader logs in elsewhere and comes back
      const delay = error.passing ? backOffMs(this.failures, this.pollMs, error.retryAfter) : null;
      if (delay !== null) this.#later(delay);
      this.notBefore = Date.now() + error.retryAfter;
      this.onError(error, delay);
    } finally {
      this.asking = false;
    }
  }

  #later(ms) {
    this.dueAt = Date.now() + ms;
    clearTimeout(this.timer);
    if (!document.hidden) this.timer = setTimeout(() => this.ask(), ms);
  }

  #seen() {
    clearTimeout(this.timer);
    if (document.hidden || !this.wanted) return;
    const wait = this.notBefore - Date.now();
    if (wait > 0) this.#later(wait);
    else this.ask();
  }
}
