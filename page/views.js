// The views that are one command each, and the list of all views. A view is opened once and then refreshed.
import { ask, NoAnswer } from './api.js';
import { chart, remember } from './chart.js';
import { crontabs } from './crontabs.js';
import { element, field, link, replace, run } from './parts.js';
import { letters } from './letters.js';
import { overview } from './overview.js';
import { table } from './table.js';
import { duration, fold, number, visible } from './text.js';
import { topic } from './topic.js';
import viewsOfApp from './views_of_app.js';

const list = (command, options) => (view) => {
  const rows = table({ caption: command, ...options });
  replace(view, rows.element);
  return async () => rows.update(await ask(command));
};

const lag = (view) => {
  const picture = chart('lag of all groups', number);
  const now = element('b');
  const rows = table({ caption: 'Lag', none: 'No group has read anything.',
    key: (row) => `${row.group} ${row.topic} ${row.partition}`,
    columns: { topic: 'topic', oldest_unacknowledged: 'ms', lag: { kind: 'number', bad: (value) => value > 0 } } });
  replace(view, element('div', { className: 'tiles' }, element('div', { className: 'tile wide' },
    element('span', { className: 'quiet' }, 'records that are not committed, of all groups'), now, picture.element)),
  rows.element);
  return async () => {
    const all = await ask('lag');
    const total = all.reduce((sum, row) => sum + row.lag, 0);
    remember('lag of all groups', total);
    now.textContent = number(total);
    picture.update();
    rows.update(all);
  };
};

const agents = (view) => {
  const declared = table({ caption: 'Agents', none: 'The app has no agents.', filter: false, key: (row) => row.name,
    columns: { topic: 'topic' } });
  const accounts = table({ caption: 'Their partitions here', none: 'No partition is here.',
    key: (row) => `${row.agent} ${row.topic} ${row.partition}`,
    columns: { topic: 'topic', dead_lettered: { kind: 'number', bad: (value) => value > 0 } } });
  replace(view, declared.element, accounts.element, element('p', { className: 'quiet' },
    'consumed = acked + in flight + dead lettered + skipped, since the worker has the partition'));
  return async (asked) => {
    const [all, status] = await Promise.all([ask('agents'), asked]);
    declared.update(all.map((row) => ({ ...row, help: row.help === '<N/A>' ? '' : row.help })));
    accounts.update(status.accounts);
  };
};

// How far a table is restored, of the offsets that it had to read.
const restored = (row) => {
  const parts = row.of_partitions.filter((one) => one.state === 'restoring');
  if (!parts.length) return row.state;
  const all = parts.reduce((sum, one) => sum + one.end - one.from, 0);
  const read = parts.reduce((sum, one) => sum + one.position - one.from, 0);
  return [element('progress', { max: all, value: read, 'aria-label': `Restoring ${row.table}` }), ` ${row.state}`];
};

const tables = (view) => {
  const rows = table({ caption: 'Tables', none: 'The app has no tables.', key: (row) => row.table,
    columns: { table: { show: (name) => link(name, `#table/${encodeURIComponent(name)}`) }, bytes: 'bytes',
      changelog: 'topic', of_partitions: { hidden: true },
      state: { of: (row) => [row.state, row.of_partitions], hidden: true, show: (_, row) => restored(row) } } });
  replace(view, rows.element);
  return async () => rows.update(await ask('tables'));
};

// The rows of one table, by a key or its beginning.
const oneTable = (view, name, query) => {
  const prefix = element('input', { name: 'prefix', type: 'search', className: 'filter', value: query.get('prefix') ?? '' });
  const limit = element('input', { name: 'limit', value: query.get('limit') ?? '200', size: 6, inputMode: 'numeric' });
  const out = element('p', { role: 'status', className: 'quiet' });
  const rows = table({ caption: `Rows of ${name}`, none: 'There is no such key.', filter: true,
    key: (row) => JSON.stringify([row.key, row.window, row.partition]), columns: { value: 'json', key: { kind: 'json' } } });
  const show = async () => {
    const all = await ask('table', { name, prefix: prefix.value, limit: limit.value });
    rows.update(all);
    out.className = 'quiet';
    out.textContent = all.length === Number(limit.value) ? `These are the first ${number(all.length)}.` : '';
  };
  const form = element('form', { className: 'card' }, field('keys that begin with', prefix), field('at most', limit),
    element('button', { className: 'main' }, 'Show'));
  form.onsubmit = (event) => {
    event.preventDefault();
    run(show, out);
  };
  replace(view, element('h2', {}, link('tables', '#tables'), ` / ${visible(name)}`), form, out, rows.element);
  let first = true;
  return async () => {
    if (first) await show();
    first = false;
  };
};

const members = (partitions) => partitions.map((one) => `${one.topic} ${fold(one.partitions)}`).join(', ');

// A view of the app. Its module is loaded when it is opened; if that fails, again at the next look.
const ofApp = (module) => (view, argument, query) => {
  let refresh;
  let tries = 0;
  return async (asked) => {
    if (!refresh) {
      tries += 1;
      const { show } = await import(tries === 1 ? module : `${module}?${tries}`).catch(() => {
        throw new NoAnswer('the worker does not answer');
      });
      if (!view.isConnected) throw new DOMException('another view is open', 'AbortError');
      refresh = show(view, argument, query);
    }
    return refresh(asked);
  };
};
const nameOf = (module) => module.split('/').at(-1).replace(/\.\w+$/, '');

export const views = {
  overview: ['Overview', overview],
  topics: ['Topics', list('topics', { caption: 'Topics', none: 'The log has no topics.', key: (row) => row.topic,
    columns: { topic: 'topic', retention: { right: true, title: 'retention', show: duration } } })],
  agents: ['Agents', agents],
  lag: ['Lag', lag],
  why: ['Why', list('why', { caption: 'Offsets that do not move', none: 'Nothing is stuck.',
    key: (row) => `${row.topic}/${row.partition}`, columns: { topic: 'topic', reasons: {
      show: (reasons) => reasons.map((one) => element('div', {},
        visible(one.text) + (one.ms === null ? '' : ` (${duration(one.ms)})`))) } } })],
  tables: ['Tables', tables],
  dead_letters: ['Dead letters', letters],
  cron: ['Cron', crontabs],
  groups: ['Groups', list('groups', { caption: 'Groups', none: 'There are no groups.',
    key: (row) => `${row.group} ${row.member}`, columns: { partitions: { show: (all) => visible(members(all)) } } })],
  rebalances: ['Rebalances', list('rebalances', { caption: 'Rebalances',
    none: 'No worker on this machine has had a rebalance.', key: (row) => `${row.time} ${row.member}`,
    columns: { time: 'time', ...Object.fromEntries(['ms', 'unread', 'drain', 'commit', 'release', 'wait'].map((name) =>
      [name, { kind: 'ms', title: name === 'ms' ? 'took' : name }])) } })],
  transactions: ['Transactions', list('transactions', { caption: 'Open transactions', none: 'No transaction is open.' })],
  models: ['Models', list('models', { caption: 'Models', none: 'The app has no models.', key: (row) => row.name,
    columns: { fields: { show: (fields) => visible(fields.join(', ')) } } })],
  settings: ['Settings', list('config', { caption: 'Settings', none: 'There are no settings.', key: (row) => row.setting })],
  ...Object.fromEntries(viewsOfApp.map(({ title, module }) => [nameOf(module), [title, ofApp(module), true]])),
};
export const details = { topic: ['topics', topic], table: ['tables', oneTable] };
