// The first view: what this worker does now.
import { chart, grown, remember } from './chart.js';
import { element, replace, topicLink } from './parts.js';
import { table } from './table.js';
import { duration, number, rate, visible } from './text.js';

const OUTCOMES = ['acked', 'dead_lettered', 'skipped'];
const COUNTS = ['consumed', 'in_flight', ...OUTCOMES];

const sum = (rows, field) => rows.reduce((all, row) => all + (row[field] ?? 0), 0);
const done = (rows) => OUTCOMES.reduce((all, field) => all + sum(rows, field), 0);
const waiting = (status) => status.partitions.filter((one) => one.reasons.length > 0);

const rates = new Map(); // agent and topic -> events a second

const TILES = [
  ['events a second', rate, () => rates.get('')],
  ['sent a second', rate, () => rates.get('sent')],
  ['in flight', number, (status) => sum(status.accounts, 'in_flight')],
  ['waiting', number, (status) => waiting(status).length, 'bad'],
  ['dead letters', number, (status) => sum(status.accounts, 'dead_lettered'), 'bad'],
  ['keys in tables', number, (status) => sum(status.tables, 'keys')],
];

function agentsOf(status) {
  const agents = new Map();
  for (const one of status.accounts) {
    const name = `${one.agent} ${one.topic}`;
    const agent = agents.get(name) ?? { agent: one.agent, topic: one.topic, partitions: 0, a_second: 0,
      ...Object.fromEntries(COUNTS.map((field) => [field, 0])) };
    agent.partitions += 1;
    for (const field of COUNTS) agent[field] += one[field];
    agents.set(name, agent);
  }
  return agents;
}

// Called at every look, whatever is shown, so that charts have no holes.
export function note(status) {
  rates.set('', grown('events', done(status.accounts)));
  rates.set('sent', grown('sent', status.sent_records));
  for (const [name, agent] of agentsOf(status)) rates.set(name, grown(name, done([agent])));
  for (const [name, , value] of TILES) remember(name, value(status));
}

export function overview(view) {
  const tiles = TILES.map(([name, text, value, className]) => {
    const big = element('b');
    const picture = chart(name, text);
    return { element: element('div', { className: 'tile' }, element('span', { className: 'quiet' }, name), big,
      picture.element),
    update(status) {
      big.textContent = value(status) === undefined ? '…' : text(value(status));
      big.className = className && value(status) > 0 ? className : '';
      picture.update();
    } };
  });
  const notices = element('div');
  const agents = table({ caption: 'Agents of this worker', none: 'No partition of an agent is here.', filter: false,
    key: (row) => `${row.agent} ${row.topic}`,
    columns: { topic: 'topic', a_second: { kind: 'number', show: rate }, dead_lettered: { kind: 'number',
      bad: (value) => value > 0 } } });
  const stuck = table({ caption: 'What partitions wait for', none: 'No partition waits for anything.', filter: false,
    key: (row) => `${row.topic}/${row.partition}`, columns: { topic: 'topic', for: 'ms' } });
  replace(view, notices, element('div', { className: 'tiles' }, ...tiles.map((tile) => tile.element)),
    stuck.element, agents.element);
  return async (asked) => {
    const status = await asked;
    const restoring = status.tables.filter((one) => one.state === 'restoring');
    const lines = [
      ...status.silent.map((member) => `${member} does not answer: a handler keeps its thread.`),
      ...status.kept_threads.filter((one) => one.now_ms !== null).map((one) =>
        `${one.task} keeps the thread of ${one.member}, for ${duration(one.now_ms)} so far.`),
      ...(restoring.length ? [`${restoring.length} partitions of tables are being restored.`] : []),
    ];
    replace(notices, ...lines.map((line) => element('p', { className: 'notice' }, visible(line))));
    for (const tile of tiles) tile.update(status);
    agents.update([...agentsOf(status)].map(([name, agent]) => ({ ...agent, a_second: rates.get(name) ?? 0 })));
    stuck.update(waiting(status).map((one) => ({ topic: one.topic, partition: one.partition, at: one.oldest,
      reason: one.reasons[0].text, for: one.reasons[0].ms, member: one.member })));
  };
}
