// The administrative endpoints of the node that this page came from, and no others.

const ROOT = new URL("../", document.baseURI);
const PATIENCE_MS = 15000;

export class ApiError extends Error {
  constructor(status, text, field) {
    super(text);
    this.status = status;
    this.field = field;
  }

  get isDenied() {
    return this.status === 401 || this.status === 403;
  }

  get isUnreachable() {
    return this.status === 0;
  }
}

async function ask(method, path, body) {
  const options = { method, cache: "no-store", credentials: "same-origin", redirect: "error" };
  if (body !== undefined) {
    options.body = JSON.stringify(body);
    options.headers = { "Content-Type": "application/json" };
  }
  let answer;
  let text;
  try {
    answer = await fetch(new URL(path, ROOT), { ...options, signal: AbortSignal.timeout(PATIENCE_MS) });
    text = await answer.text();
  } catch (error) {
    const why = error.name === "TimeoutError" ? "it does not answer" : "no connection";
    throw new ApiError(0, `the node cannot be reached: ${why}`);
  }
  let value = text;
  if ((answer.headers.get("Content-Type") ?? "").startsWith("application/json")) {
    try {
      value = JSON.parse(text);
    } catch {
      throw new ApiError(answer.status, "the answer is no JSON");
    }
  }
  if (!answer.ok) {
    throw new ApiError(answer.status, String(value?.error ?? text ?? answer.status), value?.field);
  }
  return value;
}

function query(values) {
  const given = Object.entries(values ?? {}).filter(([, value]) => value !== "" && value != null);
  return given.length ? `?${new URLSearchParams(given)}` : "";
}

export function get(name, values) {
  return ask("GET", `api/admin/${name}${query(values)}`);
}

export function post(name, body) {
  remembered.clear();
  return ask("POST", `api/admin/${name}`, body);
}

export function remove(name, body) {
  remembered.clear();
  return ask("DELETE", `api/admin/${name}`, body);
}

/** Return why the node takes no mail, or null. */
export async function trouble() {
  try {
    await ask("GET", "api/check-liveness/v1");
    return null;
  } catch (error) {
    if (error.status === 503) return error.message;
    if (error.isUnreachable) throw error;
    return null;
  }
}

/** Return the value of a call, or null where what it is about is not there or not offered. */
export async function orNull(promise) {
  try {
    return await promise;
  } catch (error) {
    if (error.status === 404) return null;
    throw error;
  }
}

const REST_MS = 15000;
const remembered = new Map();

/**
 * Return the answer of a call that has the node look at all its queues: one that is not older than
 * a quarter of a minute will do, unless something was done since.
 */
export async function nowAndThen(key, call) {
  const known = remembered.get(key);
  if (known && Date.now() - known.at < REST_MS) return known.value;
  const value = await call();
  remembered.clear();
  remembered.set(key, { at: Date.now(), value });
  return value;
}
