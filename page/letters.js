// Dead letters: look, replay, drop, or send a changed record instead; one or many.
import { tell } from './api.js';
import { button, careful, element, field, replace, run, topicLink } from './parts.js';
import { table } from './table.js';
import { plain, visible } from './text.js';

const idOf = (row) => `${row.agent} ${row.number}`;
const DONE = { replay: 'sent to the agent again', drop: 'dropped' };

// orders/2@1125
const placeOf = (from) => /^(.*)\/(\d+)@(\d+)$/.exec(from)?.slice(1);

export function letters(view) {
  const chosen = new Set();
  const told = element('ul', { className: 'told', role: 'status' });
  const report = (text, bad) => told.prepend(element('li', { className: bad ? 'bad' : 'quiet' }, visible(text)));
  const refresh = async () => {
    const all = await tell('dlq', { action: 'list' });
    const there = new Set(all.map(idOf));
    for (const id of chosen) if (!there.has(id)) chosen.delete(id);
    rows.update(all);
    for (const one of many) one.disabled = chosen.size === 0;
  };
  const act = async (action, some) => {
    for (const row of some) {
      try {
        await tell('dlq', { action, agent: row.agent, number: String(row.number) }, { kept: true });
        chosen.delete(idOf(row));
        report(`Dead letter ${row.number} of ${row.agent}: ${DONE[action]}.`);
      } catch (error) {
        report(`Dead letter ${row.number} of ${row.agent}: ${error.message}`, true);
      }
    }
    await refresh().catch(() => {});
  };
  const those = () => rows.rows.filter((row) => chosen.has(idOf(row)));
  const many = [button('Replay the chosen', () => act('replay', those())),
    careful('Drop the chosen', 'Really drop them?', () => act('drop', those()))];
  for (const one of many) one.disabled = true;

  const show = async (row) => {
    const [letter] = await tell('dlq', { action: 'show', agent: row.agent, number: String(row.number) });
    const value = element('textarea', { rows: 8, value: plain(letter.value) });
    const facts = element('dl');
    for (const name of ['agent', 'from', 'time', 'reason', 'attempts', 'key', 'headers']) {
      if (letter[name] !== null) facts.append(element('dt', {}, name), element('dd', {}, visible(plain(letter[name]))));
    }
    const failed = element('p', { role: 'status' });
    const dialog = element('dialog', { 'aria-label': `Dead letter ${row.number}` });
    const close = () => dialog.close();
    const place = placeOf(letter.from);
    const change = button('Send it changed, and drop this', () => run(async () => {
      const options = { entity: place[0], value: value.value, partition: place[1] };
      if (letter.key !== null) options.key = letter.key;
      await tell('send', options, { kept: true });
      report(`Dead letter ${row.number} of ${row.agent}: sent to ${place[0]} as it was changed.`);
      close();
      await act('drop', [row]);
    }, failed), { disabled: !place, title: `Every agent of ${place?.[0]} gets the changed record` });
    dialog.append(element('h2', {}, `Dead letter ${row.number} of ${row.agent}`), facts, field('value', value),
      element('div', { className: 'buttons' }, button('Replay', () => {
        close();
        act('replay', [row]);
      }, { className: 'main' }), change, careful('Drop', 'Really drop it?', () => {
        close();
        act('drop', [row]);
      }), button('Close', close)), failed);
    dialog.onclose = () => dialog.remove();
    document.body.append(dialog);
    dialog.showModal();
  };
  const look = (row) => show(row).catch((error) => error.name === 'AbortError' || report(error.message, true));

  const rows = table({ caption: 'Dead letters', none: 'There are no dead letters.', key: idOf, tools: many,
    columns: {
      chosen: { first: true, fixed: true, title: '', label: 'chosen', of: idOf, show: (id, row) => {
        const box = element('input', { type: 'checkbox', checked: chosen.has(id),
          'aria-label': `Choose dead letter ${row.number} of ${row.agent}` });
        box.onchange = () => {
          if (box.checked) chosen.add(id);
          else chosen.delete(id);
          for (const one of many) one.disabled = chosen.size === 0;
        };
        return box;
      } },
      time: 'time',
      from: { show: (from) => {
        const place = placeOf(from);
        if (!place) return visible(from);
        const made = topicLink(place[0], { partition: place[1], from: place[2], limit: 1 });
        made.textContent = visible(from);
        return made;
      } },
      actions: { fixed: true, title: 'actions', className: 'actions', of: idOf, show: (_, row) => [
        button('Open', () => look(row)), button('Replay', () => act('replay', [row])),
        careful('Drop', 'Really drop it?', () => act('drop', [row]))] },
    } });
  replace(view, rows.element, told);
  return refresh;
}
