// Small parts of the page. Text of records only ever becomes text.
import { cut, plain, visible, visibleLines } from './text.js';

const SHORT = 160; // characters of a value in its row
const MUCH = 200_000; // characters of an open value

export function element(tag, properties = {}, ...children) {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(properties)) {
    if (name === 'role' || name === 'for' || name.includes('-')) made.setAttribute(name, value);
    else made[name] = value;
  }
  made.append(...children);
  return made;
}

export const replace = (view, ...children) => view.replaceChildren(...children);

export function button(text, action, properties = {}) {
  const made = element('button', { type: 'button', ...properties }, text);
  made.onclick = action;
  return made;
}

// A button for what cannot be undone: its first click asks, its second one acts.
export function careful(text, question, action) {
  let back;
  const calm = () => {
    clearTimeout(back);
    made.textContent = text;
    made.classList.remove('danger');
  };
  const made = button(text, () => {
    if (made.textContent === question) {
      calm();
      action();
    } else {
      made.textContent = question;
      made.classList.add('danger');
      back = setTimeout(calm, 5000);
    }
  });
  made.onblur = calm;
  return made;
}

export const field = (label, input) => element('label', {}, label, input);

export const link = (text, href) => element('a', { href }, visible(text));

export const topicLink = (name, query = {}) => {
  const rest = new URLSearchParams(query);
  return link(name, `#topic/${encodeURIComponent(name)}${rest.size ? `?${rest}` : ''}`);
};

// JSON, on one line; a long one can be opened.
export function value(json) {
  if (typeof json !== 'object' || json === null) {
    const text = json === null ? 'null' : visible(plain(json));
    if (text.length <= SHORT) return element('bdi', { className: json === null ? 'quiet' : '' }, text);
  }
  const line = visible(typeof json === 'string' ? json : JSON.stringify(json));
  if (line.length <= 60) return element('code', {}, line);
  const open = element('pre', { tabIndex: 0 });
  const made = element('details', { className: 'json' }, element('summary', {}, element('code', {}, cut(line, SHORT))), open);
  made.ontoggle = () => {
    if (open.textContent) return;
    const all = typeof json === 'string' ? visible(json) : visibleLines(JSON.stringify(json, null, 2));
    open.textContent = all.length > MUCH ? `${all.slice(0, MUCH)}\n… ${all.length - MUCH} more characters` : all;
  };
  return made;
}

// Runs an action, with its error in `out`.
export async function run(action, out) {
  out.className = 'quiet';
  try {
    await action();
  } catch (error) {
    if (error.name === 'AbortError') return;
    out.className = 'bad';
    out.textContent = visible(error.message);
  }
}

export function download(name, text) {
  const url = URL.createObjectURL(new Blob([text], { type: 'application/x-ndjson' }));
  element('a', { href: url, download: name }).click();
  setTimeout(() => URL.revokeObjectURL(url), 1000);
}
