/** Asking the daemon: reading, and changing things with the token that proves that we are its own page. */

/** An answer that is not what was asked for; `message` is for people. */
export class ApiError extends Error {
  constructor(message, status) {
    super(message);
    this.status = status;
  }
}

/** The address of something in the API. It is relative to this file, so that a proxy may put both below a path. */
export function addressInApi(path, query = {}) {
  const address = new URL(`../api/v1/${path}`, import.meta.url);
  for (const [name, value] of Object.entries(query)) address.searchParams.set(name, value);
  return address.href;
}

/** The path of a process: its namespec as one segment. */
export function pathOf(namespec) {
  return `processes/${encodeURIComponent(namespec)}`;
}

/**
 * Reads a document.
 *
 * @throws {ApiError} if there is none, or the daemon cannot be reached
 */
export async function readJson(path, query) {
  return asJson(await reach(addressInApi(path, query), {}));
}

/**
 * Asks for a change.
 *
 * @throws {ApiError} as `readJson`
 */
export async function change(path, body) {
  let response = await post(path, body, await token());
  if (response.status === 403 && known !== null) {
    // Another daemon stands where the one was that gave us the token.
    known = null;
    response = await post(path, body, await token());
  }
  return asJson(response);
}

let known = null;

async function token() {
  known ??= (await readJson("session")).token;
  return known;
}

function post(path, body, secret) {
  return reach(addressInApi(path), {
    method: "POST",
    headers: { "Content-Type": "application/json", "X-Supervisord-Token": secret },
    body: JSON.stringify(body ?? {}),
  });
}

async function reach(address, options) {
  try {
    return await fetch(address, { credentials: "same-origin", cache: "no-store", ...options });
  } catch {
    throw new ApiError("the daemon cannot be reached", 0);
  }
}

async function asJson(response) {
  let answer = null;
  try {
    answer = await response.json();
  } catch {
    // Something in between answered; the status has to do.
  }
  if (!response.ok) throw new ApiError(answer?.detail ?? `the daemon answered ${response.status}`, response.status);
  if (answer === null) throw new ApiError("the daemon's answer is not JSON", response.status);
  return answer;
}
