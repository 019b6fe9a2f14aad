// One security: its bars as a chart with the extremes of each year, and its document.
import { get } from '/page/api.js';
import { element, link, replace, value } from '/page/parts.js';
import { table } from '/page/table.js';
import { isRaw, plain, time, visible } from '/page/text.js';
import { address, quoted } from './parts.js';
import { prices } from './prices.js';

const price = { kind: 'number', show: plain };

// The row of the table `extremes`, { value }; without one if there is none, or { error }.
async function extremesOf(symbol, exchange) {
  try {
    const { rows } = await get(`/table/extremes/${encodeURIComponent(JSON.stringify({ symbol, exchange }))}`);
    return { value: rows[0]?.value };
  } catch (error) {
    if (error.name === 'AbortError' || error.status === undefined) throw error;
    return error.status === 404 ? {} : { error: error.message };
  }
}

function shown(name, content) {
  if (content === null) return element('span', { className: 'quiet' }, 'nothing');
  if (isRaw(content)) return visible(plain(content));
  if (name.endsWith('_at') && typeof content === 'string')
    return element('span', { title: visible(content) }, visible(time(content)));
  return typeof content === 'object' ? value(content) : visible(plain(content));
}

const fieldsOf = (document) => Object.entries(document).flatMap(([name, content]) =>
  [element('dt', {}, visible(name)), element('dd', {}, shown(name, content))]);

// Why there are no bars, and what fetches them.
function withoutBars(document) {
  const { symbol, exchange } = document;
  const command = `horton collect --bars ${quoted(symbol)}${exchange ? ` --exchange ${quoted(exchange)}` : ''}`;
  const lines = ['There are no bars of this security yet. This fetches them:', element('code', {}, visible(command))];
  if (document.bars_error)
    lines.push(visible(`The last attempt failed at ${time(document.bars_failed_at)}: ${document.bars_error}`));
  else if (document.bars_asked_at)
    lines.push(visible(`They were asked for at ${time(document.bars_asked_at)}, and wait for their turn: see Budget.`));
  return element('div', { className: 'none' }, ...lines.map((line) => element('p', {}, line)));
}

function extremesTable({ value: row, error }) {
  const made = table({ caption: `Extremes of the ${row?.adjusted ? 'adjusted closes' : 'closes'} by year`,
    none: visible(error ?? 'There are no extremes yet: they follow the bars.'), filter: false,
    key: (year) => year.year, columns: { year: price, highest: price, lowest: price } });
  made.update((row?.years ?? []).map(({ year, highest, lowest }) =>
    ({ year, highest: highest.close, on: highest.date, lowest: lowest.close, on_the: lowest.date })).reverse());
  return made.element;
}

function barsTable(bars) {
  const made = table({ caption: 'Bars', none: '', level: 'h3', key: (bar) => bar.date,
    columns: Object.fromEntries(Object.keys(bars[0]).filter((name) => name !== 'date').map((name) => [name, price])) });
  made.update(bars.toReversed());
  return element('details', { className: 'card' }, element('summary', {}, 'All bars, the newest first'), made.element);
}

export function security(view, symbol, query) {
  const heading = element('h2', {}, link('securities', '#securities'), ` / ${visible(symbol)}`);
  const name = element('p');
  const bars = element('div');
  const fields = element('dl', { className: 'fields' });
  const listed = element('section', { className: 'block', hidden: true }, element('h2', {}, 'Document'), fields);
  replace(view, heading, name, bars, listed);
  let before; // what is shown
  let chart;

  async function show(document, extremes) {
    const { exchange } = document;
    const days = await get('/horton/bars', { symbol, exchange });
    heading.lastChild.textContent = ` / ${visible(symbol)} on ${visible(exchange || 'no exchange')}`;
    name.textContent = visible(plain(document.name));
    replace(fields, ...fieldsOf(document));
    listed.hidden = false;
    const now = JSON.stringify([days, extremes]);
    if (now === before?.prices) return now;
    if (days.length === 0) {
      replace(bars, withoutBars(document));
      return now;
    }
    chart = prices({ bars: days, extremes: extremes.value, query: chart?.query() ?? query,
      keep: (range) => history.replaceState(null, '', address(symbol, exchange, range)) });
    replace(bars, chart.element, extremesTable(extremes), barsTable(days));
    chart.draw();
    return now;
  }

  return async () => {
    const documents = await get('/horton/security', { symbol, exchange: query.get('exchange') ?? undefined });
    if (documents.length > 1) {
      const places = documents.map(({ exchange }) => link(exchange || 'no exchange', address(symbol, exchange)));
      replace(bars, element('p', {}, 'This symbol is listed on several exchanges:'),
        element('ul', {}, ...places.map((one) => element('li', {}, one))));
      return;
    }
    const extremes = documents[0].bars_checked_at ? await extremesOf(symbol, documents[0].exchange) : {};
    const all = JSON.stringify([documents, extremes]);
    if (all === before?.all) return;
    before = { prices: await show(documents[0], extremes), all };
  };
}
