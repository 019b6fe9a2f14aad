// The operator's page. Each view shows what the command of the same name prints with --json, from /api/COMMAND.
import { element, replace, table, tiles } from './parts.js';

const EVERY = 2000;  // ms between two looks
const HISTORY = 150; // looks that the charts show

const main = document.getElementById('main');
const state = document.getElementById('state');
const history = new Map();  // name -> numbers

async function ask(path, parameters = {}) {
  const query = new URLSearchParams(Object.entries(parameters).filter(([, value]) => value !== '' && value != null));
  const reply = await fetch(`/api/${path}${query.size ? `?${query}` : ''}`);
  return answer(reply);
}

async function tell(path, options) {
  const reply = await fetch(`/api/${path}`, {
    method: 'POST', headers: { 'Content-Type': 'application/json' }, body: JSON.stringify(options),
  });
  return answer(reply);
}

async function answer(reply) {
  const body = await reply.json().catch(() => ({ error: `status ${reply.status}` }));
  if (!reply.ok && body.error) throw new Error(body.error);
  return body;
}

function remember(name, value) {
  const all = history.get(name) ?? [];
  all.push(value);
  if (all.length > HISTORY) all.shift();
  history.set(name, all);
  return all;
}

// The difference to the look before, for each second.
function rate(name, total) {
  const before = history.get(`${name} total`)?.at(-1);
  remember(`${name} total`, total);
  return before === undefined || total < before ? 0 : (total - before) / (EVERY / 1000);
}

const sum = (rows, field) => rows.reduce((all, row) => all + (row[field] ?? 0), 0);

async function overview(view) {
  const status = await ask('status');
  const done = sum(status.accounts, 'acked') + sum(status.accounts, 'dead_lettered') + sum(status.accounts, 'skipped');
  const dead = sum(status.accounts, 'dead_lettered');
  const rows = [
    { name: 'events a second', value: rate('events', done) },
    { name: 'records sent a second', value: rate('sent', status.sent_records) },
    { name: 'in flight', value: sum(status.accounts, 'in_flight') },
    { name: 'dead letters', value: dead, bad: dead > 0 },
    { name: 'partitions', value: status.partitions.length },
    { name: 'tables restoring', value: status.tables.filter((one) => one.state === 'restoring').length },
  ];
  for (const row of rows) row.history = remember(row.name, row.value);
  const agents = new Map();
  for (const one of status.accounts) {
    const agent = agents.get(one.agent) ??
      { agent: one.agent, topic: one.topic, partitions: 0, consumed: 0, acked: 0, in_flight: 0, dead_lettered: 0, skipped: 0 };
    agent.partitions += 1;
    for (const field of ['consumed', 'acked', 'in_flight', 'dead_lettered', 'skipped']) agent[field] += one[field];
    agents.set(one.agent, agent);
  }
  const stuck = status.partitions.filter((one) => one.reasons.length > 0);
  replace(view, element('h2', {}, 'This worker'), tiles(rows), element('h2', {}, 'Agents'),
    table([...agents.values()], { caption: 'Agents of this worker', none: 'The app has no agents here.' }),
    element('h2', {}, 'What partitions wait for'),
    table(stuck.map((one) => ({ topic: one.topic, partition: one.partition, at: one.oldest, reason: one.reasons[0].text,
      for_ms: one.reasons[0].ms })), { caption: 'Partitions that wait', none: 'No partition waits for anything.' }));
}

const list = (command, none) => async (view) => {
  replace(view, table(await ask(command), { caption: command, none }));
};

async function topics(view) {
  const rows = await ask('topics');
  replace(view, table(rows, { caption: 'Topics', none: 'The log has no topics.',
    link: { topic: (row) => `#topic/${encodeURIComponent(row.topic)}` } }));
}

// One topic: its records, newest or from an offset or a time, a search in what is shown, and a form to send.
async function topic(view, name) {
  if (view.dataset.topic !== name) {
    view.dataset.topic = name;
    const field = (label, input) => element('label', {}, label, input);
    const from = element('input', { value: 'start', name: 'from', size: 24 });
    const partition = element('input', { name: 'partition', size: 4, inputMode: 'numeric' });
    const limit = element('input', { name: 'limit', value: '100', size: 5, inputMode: 'numeric' });
    const search = element('input', { name: 'search', type: 'search', size: 24 });
    const out = element('div', { className: 'records' });
    const show = async () => {
      const rows = await ask('topic', { name, from: from.value, partition: partition.value, limit: limit.value });
      const wanted = search.value.toLowerCase();
      const found = rows.filter((row) => wanted === '' || JSON.stringify(row).toLowerCase().includes(wanted));
      replace(out, table(found, { caption: `Records of ${name}`, none: 'There is no such record.' }));
    };
    const read = element('form', {},
      field('from: start, end, an offset or a time', from), field('partition', partition), field('at most', limit),
      field('with this text', search), element('button', { className: 'main' }, 'Show'));
    read.onsubmit = (event) => { event.preventDefault(); run(show, out); };
    const key = element('input', { name: 'key' });
    const value = element('textarea', { name: 'value', placeholder: '{"symbol":"IBM"}' });
    const sent = element('p', { className: 'quiet', role: 'status' });
    const send = element('form', {}, field('key', key), field('value', value), element('button', {}, 'Send'));
    send.onsubmit = (event) => {
      event.preventDefault();
      const options = { entity: name, value: value.value };
      if (key.value !== '') options.key = key.value;
      run(async () => { await tell('send', options); sent.textContent = 'Sent.'; await show(); }, sent);
    };
    replace(view, element('h2', {}, name), read, out, element('h2', {}, 'Send a record'), send, sent);
    await show();
  }
}

async function run(action, out) {
  try {
    await action();
  } catch (error) {
    replace(out, element('p', { className: 'bad' }, error.message));
  }
}

async function tables(view) {
  const rows = await ask('tables');
  replace(view, table(rows, { caption: 'Tables', none: 'The app has no tables.',
    link: { table: (row) => `#table/${encodeURIComponent(row.table)}` } }));
}

async function tableOf(view, name) {
  if (view.dataset.table === name) return;
  view.dataset.table = name;
  const key = element('input', { name: 'key' });
  const out = element('div');
  const show = async () => {
    const rows = await ask('table', key.value === '' ? { name, limit: 200 } : { name, prefix: key.value, limit: 200 });
    replace(out, table(rows, { caption: `Rows of ${name}`, none: 'There is no such key.' }));
  };
  const form = element('form', {}, element('label', {}, 'keys that begin with', key),
    element('button', { className: 'main' }, 'Show'));
  form.onsubmit = (event) => { event.preventDefault(); run(show, out); };
  replace(view, element('h2', {}, name), form, out);
  await show();
}

async function deadLetters(view) {
  const rows = await tell('dlq', { action: 'list' });
  const out = element('p', { className: 'quiet', role: 'status' });
  const act = (action, row) => () => run(async () => {
    await tell('dlq', { action, agent: row.agent, number: String(row.number) });
    out.textContent = `Dead letter ${row.number} of ${row.agent}: ${action === 'drop' ? 'dropped' : 'sent to the agent again'}.`;
  }, out);
  replace(view, table(rows, { caption: 'Dead letters', none: 'There are no dead letters.',
    actions: (row) => ['replay', 'drop'].map((action) => {
      const button = element('button', {}, action);
      button.onclick = act(action, row);
      return button;
    }) }), out);
}

async function cron(view) {
  const [jobs, slots, runs] = await Promise.all(['list', 'next', 'history'].map((action) => tell('cron', { action })));
  const out = element('p', { className: 'quiet', role: 'status' });
  replace(view, table(jobs, { caption: 'Crontabs', none: 'The app has no crontabs.',
    actions: (row) => {
      const button = element('button', {}, 'run now');
      button.onclick = () => run(async () => {
        await tell('cron', { action: 'run-now', what: row.name });
        out.textContent = `The leader runs ${row.name} now.`;
      }, out);
      return [button];
    } }), out,
  table(slots, { caption: 'Next slots', none: 'No slot comes.' }),
  table(runs.reverse(), { caption: 'Last slots', none: 'No slot has run yet.' }));
}

const views = {
  overview: ['Overview', overview],
  topics: ['Topics', topics],
  lag: ['Lag', list('lag', 'No group has read anything.')],
  groups: ['Groups', list('groups', 'There are no groups.')],
  why: ['Why', async (view) => {
    const rows = await ask('why');
    replace(view, table(rows.map((row) => ({ ...row, reasons: row.reasons.map((one) => one.text).join('; ') })),
      { caption: 'Offsets that do not move', none: 'Nothing is stuck.' }));
  }],
  rebalances: ['Rebalances', list('rebalances', 'No worker on this machine has had a rebalance.')],
  tables: ['Tables', tables],
  dead_letters: ['Dead letters', deadLetters],
  cron: ['Cron', cron],
  agents: ['Agents', list('agents', 'The app has no agents.')],
  models: ['Models', list('models', 'The app has no models.')],
  settings: ['Settings', list('config', 'There are no settings.')],
};
const details = { topic: ['topics', topic], table: ['tables', tableOf] };

let shown = '';
let looking = false;

async function look() {
  if (looking || document.hidden) return;
  looking = true;
  const [name, argument] = location.hash.slice(1).split('/').map(decodeURIComponent);
  const chosen = name in views || name in details ? name : 'overview';
  if (shown !== location.hash) {
    shown = location.hash;
    delete main.dataset.topic;
    delete main.dataset.table;
    replace(main);
    main.setAttribute('aria-busy', 'true');
    const current = details[chosen]?.[0] ?? chosen;
    for (const link of document.querySelectorAll('nav a')) {
      if (link.dataset.view === current) link.setAttribute('aria-current', 'page');
      else link.removeAttribute('aria-current');
    }
  }
  try {
    const show = details[chosen]?.[1] ?? views[chosen][1];
    await show(main, argument);
    state.textContent = `as of ${new Date().toLocaleTimeString()}`;
    state.className = '';
  } catch (error) {
    state.textContent = error.message;
    state.className = 'bad';
  }
  main.setAttribute('aria-busy', 'false');
  looking = false;
}

const nav = document.getElementById('views');
for (const [name, [title]] of Object.entries(views)) {
  const link = element('a', { href: `#${name}` }, title);
  link.dataset.view = name;
  nav.append(link);
}
window.addEventListener('hashchange', look);
document.addEventListener('visibilitychange', look);
// The number keys choose a view.
document.addEventListener('keydown', (event) => {
  if (event.target.closest('input, textarea, select') || event.ctrlKey || event.metaKey || event.altKey) return;
  const name = Object.keys(views)[Number(event.key) - 1];
  if (name) location.hash = name;
});
fetch('/api/status').then(answer).then((status) => {
  document.getElementById('app').textContent = status.app;
  document.title = `${status.app} · Mephisto`;
}).catch(() => {});
await look();
setInterval(look, EVERY);
