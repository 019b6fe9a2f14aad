// Questions to the worker. /api/COMMAND gives what the command prints with --json; an app has pages of its own.

const PATIENCE = 20_000; // ms for a reply

// The worker gave no reply at all.
export class NoAnswer extends Error {}

export const answered = { at: 0 }; // when the last reply came, in ms since 1970

let leaving = new AbortController();

// The view that asked is left: its requests are of no use any more.
export function leave() {
  leaving.abort();
  leaving = new AbortController();
}

// A number that JavaScript would show in another way (beyond 2^53, or 1.0) stays as it is written.
function exact(name, value, context) {
  if (typeof value === 'number' && context?.source && String(value) !== context.source && JSON.rawJSON)
    return JSON.rawJSON(context.source);
  return value;
}

async function reply(path, { kept, ...options } = {}) {
  const signal = AbortSignal.any([...(kept ? [] : [leaving.signal]), AbortSignal.timeout(PATIENCE)]);
  let got;
  let text;
  try {
    got = await fetch(path, { ...options, signal });
    text = await got.text();
  } catch (error) {
    if (error.name === 'AbortError') throw error;
    throw new NoAnswer('the worker does not answer');
  }
  answered.at = Date.now();
  let body;
  try {
    body = JSON.parse(text, exact);
  } catch {
    body = { error: `status ${got.status}, and no JSON` };
  }
  if (body?.error && (!got.ok || !Array.isArray(body)))
    throw Object.assign(new Error(body.error), { status: got.status });
  return body;
}

// Parameters that are undefined are left out.
export function get(path, parameters = {}) {
  const query = new URLSearchParams(Object.entries(parameters).filter(([, value]) => value !== undefined));
  return reply(`${path}${query.size ? `?${query}` : ''}`);
}

export const ask = (command, parameters = {}) => get(`/api/${command}`, Object.fromEntries(
  Object.entries(parameters).map(([name, value]) => [name, value === '' ? undefined : value ?? undefined])));

// A command that changes something, or whose options are more than a query holds. `kept`: it is also waited for when
// the view is left.
export function tell(path, options, { kept = false } = {}) {
  return reply(`/api/${path}`, {
    kept, method: 'POST', headers: { 'Content-Type': 'application/json' }, body: JSON.stringify(options),
  });
}
