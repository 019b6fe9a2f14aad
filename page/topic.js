// One topic: its newest records as they arrive, or those from an offset or a time; a search in them; sending.
import { ask, tell } from './api.js';
import { button, download, element, field, link, replace, run } from './parts.js';
import { table } from './table.js';
import { number, plain, visible } from './text.js';

const READ = 2000; // offsets that a look at the newest records reads at most

const option = (value, text) => element('option', { value }, text);

export function topic(view, name, query) {
  const kind = element('select', { name: 'kind' }, option('newest', 'the newest'), option('start', 'the first'),
    option('from', 'from an offset or a time'));
  const from = element('input', { name: 'from', size: 22, placeholder: '1200 or 2026-01-31T12:00:00Z' });
  const partition = element('input', { name: 'partition', size: 4, inputMode: 'numeric', placeholder: 'all' });
  const limit = element('input', { name: 'limit', size: 5, inputMode: 'numeric' });
  const fromField = field('from', from);
  limit.value = query.get('limit') ?? '100';
  partition.value = query.get('partition') ?? '';
  from.value = query.get('from') ?? '';
  kind.value = query.has('from') ? (query.get('from') === 'start' ? 'start' : 'from') : 'newest';
  const told = element('p', { role: 'status', className: 'quiet' });
  const facts = element('p', { className: 'quiet' });
  const save = button('Download', () =>
    download(`${name}.jsonl`, records.rows.map((row) => `${JSON.stringify(row)}\n`).join('')),
  { title: 'These records, one line of JSON each' });
  const records = table({ caption: 'Records', none: 'There are no such records.', tools: [save],
    key: (row) => `${row.partition}@${row.offset}`,
    columns: { time: 'time', key: { kind: 'json', className: '' }, value: 'json', offset: { kind: 'number', show: plain },
      headers: { kind: 'json', className: '', show: (headers) => (Object.keys(headers).length ? element('code', {},
        visible(JSON.stringify(headers))) : '') } } });

  const arrange = () => {
    fromField.hidden = kind.value !== 'from';
  };
  kind.onchange = arrange;
  arrange();

  let partitions;
  const describe = async () => {
    const row = (await ask('topics')).find((one) => one.topic === name);
    partitions = row?.partitions;
    if (row) facts.textContent = `${number(row.partitions)} partition${row.partitions === 1 ? '' : 's'}, ` +
      `${number(row.offsets)} offsets, cleanup ${row.cleanup}`;
  };
  const show = async () => {
    await describe();
    const most = Number(limit.value) || 100;
    const asked = { name, partition: partition.value };
    if (kind.value !== 'newest') {
      records.update(await ask('topic', { ...asked, limit: most, from: kind.value === 'start' ? 'start' : from.value }));
      told.textContent = '';
    } else {
      // Each partition gives its last ones; of all of them the newest are shown.
      const each = partition.value !== '' ? most : Math.min(most, Math.max(1, Math.ceil(READ / (partitions ?? 1))));
      const rows = await ask('topic', { ...asked, limit: 0, from: `-${each}` });
      rows.sort((a, b) => Date.parse(b.time) - Date.parse(a.time) || b.offset - a.offset);
      records.update(rows.slice(0, most));
      told.textContent = each < most ? `Of each partition, the last ${each} offsets are looked at.` : '';
    }
    told.className = 'quiet';
  };

  const read = element('form', { className: 'card' }, field('records', kind), fromField, field('partition', partition),
    field('at most', limit), element('button', { className: 'main' }, 'Show'));
  read.onsubmit = (event) => {
    event.preventDefault();
    const rest = new URLSearchParams();
    if (kind.value !== 'newest') rest.set('from', kind.value === 'start' ? 'start' : from.value);
    if (partition.value !== '') rest.set('partition', partition.value);
    if (limit.value !== '100') rest.set('limit', limit.value);
    window.history.replaceState(null, '', `#topic/${encodeURIComponent(name)}${rest.size ? `?${rest}` : ''}`);
    run(show, told);
  };

  const key = element('input', { name: 'key' });
  const value = element('textarea', { name: 'value', rows: 3, placeholder: '{"symbol": "IBM"}' });
  const sent = element('p', { className: 'quiet', role: 'status' });
  const send = element('form', {}, field('key', key), field('value', value), element('button', {}, 'Send'));
  send.onsubmit = (event) => {
    event.preventDefault();
    const options = { entity: name, value: value.value };
    if (key.value !== '') options.key = key.value;
    run(async () => {
      const answer = await tell('send', options, { kept: true });
      const at = Array.isArray(answer) ? answer[0] : answer;
      sent.className = 'quiet';
      sent.textContent = at?.offset === undefined ? 'Sent.' : `Sent: partition ${at.partition}, offset ${at.offset}.`;
      await show();
    }, sent);
  };

  replace(view, element('h2', {}, link('topics', '#topics'), ` / ${visible(name)}`), facts, read, told, records.element,
    element('details', { className: 'card' }, element('summary', {}, 'Send a record'), send, sent));
  let first = true;
  return async () => {
    if (first || kind.value === 'newest') await show();
    first = false;
  };
}
