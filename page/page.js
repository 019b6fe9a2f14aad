// The operator's page. It looks at the worker every two seconds, and says so when it cannot.
import { answered, ask, leave, NoAnswer } from './api.js';
import { element, replace } from './parts.js';
import { note } from './overview.js';
import { duration, visible } from './text.js';
import { details, views } from './views.js';

const EVERY = 2000; // ms between two looks
const LATE = 6000; // ms without a reply after which the page says so

const at = (id) => document.getElementById(id);
const main = at('main');
let app = 'Mephisto';
let current = {}; // the shown view: its hash and refresh()
let looking = false;
let paused = false;
let away = false; // the last request got no reply
let timer;

function open() {
  leave();
  for (const dialog of document.querySelectorAll('dialog[open]')) dialog.close();
  const hash = location.hash.slice(1);
  const [path, query = ''] = hash.split('?');
  let [name, argument] = path.split('/').map((part) => {
    try {
      return decodeURIComponent(part);
    } catch {
      return part;
    }
  });
  if (!Object.hasOwn(views, name) && !(Object.hasOwn(details, name) && argument)) name = 'overview';
  const place = details[name]?.[0] ?? name;
  for (const link of at('views').children) {
    if (link.dataset.view === place) {
      link.setAttribute('aria-current', 'page');
      link.scrollIntoView({ block: 'nearest', inline: 'nearest' });
    } else {
      link.removeAttribute('aria-current');
    }
  }
  const view = element('div');
  const failed = element('p', { className: 'notice bad', role: 'alert', hidden: true });
  const content = element('div');
  view.append(failed, content);
  replace(main, view);
  main.setAttribute('aria-busy', 'true');
  window.scrollTo(0, 0);
  const show = details[name]?.[1] ?? views[name][1];
  current = { title: argument ?? views[name][0], refresh: show(content, argument, new URLSearchParams(query)), failed };
  entitle();
  look();
}

function entitle() {
  at('app').textContent = visible(app);
  document.title = `${away ? 'no answer · ' : ''}${visible(current.title)} · ${visible(app)}`;
}

async function refresh(view) {
  const asked = ask('status').then((status) => {
    app = status.app;
    at('worker').textContent = visible(status.worker);
    note(status);
    return status;
  });
  try {
    await Promise.all([asked, view.refresh(asked)]);
    away = false;
    view.failed.hidden = true;
  } catch (error) {
    if (error.name === 'AbortError') return;
    away = error instanceof NoAnswer;
    view.failed.hidden = away;
    view.failed.textContent = visible(error.message);
  }
  main.setAttribute('aria-busy', 'false');
}

async function look() {
  if (looking) return;
  looking = true;
  clearTimeout(timer);
  let view;
  do {
    view = current;
    await refresh(view);
  } while (view !== current);
  looking = false;
  tick();
  entitle();
  if (!paused && !document.hidden) timer = setTimeout(look, EVERY);
}

// What the page shows is as old as the last reply.
function tick() {
  const age = Date.now() - answered.at;
  const late = !paused && !document.hidden && (away || age > LATE);
  const since = answered.at ? ` for ${duration(Math.floor(age / 1000) * 1000 || 1000)}` : '';
  const text = late ? 'no answer' : paused ? 'paused' : answered.at ? 'live' : 'connecting…';
  if (at('state').textContent !== text) at('state').textContent = text;
  at('state').className = late ? 'bad' : paused ? 'paused' : 'good';
  document.body.classList.toggle('stale', late);
  let notice = at('stale');
  if (late && !notice) {
    notice = element('p', { id: 'stale', className: 'notice bad' });
    main.before(notice);
  }
  if (!late) notice?.remove();
  else notice.textContent = `The worker has not answered${since}. This is what it said last; the page goes on asking.`;
}

function pause() {
  paused = !paused;
  at('pause').setAttribute('aria-pressed', String(paused));
  at('pause').textContent = paused ? 'Go on' : 'Pause';
  if (paused) clearTimeout(timer);
  else look();
  tick();
}

for (const [name, [title, , ofApp]] of Object.entries(views)) {
  const link = element('a', { href: `#${name}`, className: ofApp ? 'app' : '' }, title);
  link.dataset.view = name;
  at('views').append(link);
}
document.querySelector('.skip').onclick = (event) => {
  event.preventDefault();
  main.focus();
};
at('pause').onclick = pause;
at('keys').onclick = () => at('help').showModal();
window.addEventListener('hashchange', open);
document.addEventListener('visibilitychange', () => {
  if (!document.hidden && !paused) look();
});
document.addEventListener('keydown', (event) => {
  if (event.target.closest('input, textarea, select, dialog[open]') || event.ctrlKey || event.metaKey || event.altKey) return;
  const name = Object.keys(views)[Number(event.key) - 1];
  if (name) location.hash = name;
  else if (event.key === 'p') pause();
  else if (event.key === '?') at('help').showModal();
  else if (event.key === '/') {
    main.querySelector('input.filter:not([hidden])')?.focus();
    event.preventDefault();
  }
});
setInterval(tick, 1000);
open();
