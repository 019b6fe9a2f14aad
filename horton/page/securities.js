// The listed securities: a search, an exchange, an order, pages. Or one of them (security.js).
import { get } from '/page/api.js';
import { button, element, field, link, replace, run } from '/page/parts.js';
import { table } from '/page/table.js';
import { number } from '/page/text.js';
import { address, styled } from './parts.js';

const ROWS = 50; // of a page
const TYPED = 250; // ms without a key after which a search begins
const AGAIN = 10; // looks, after which the list is asked for again

const exchanges = new Set(); // that were seen

function list(view, query) {
  const of = (name) => query.get(name) ?? '';
  const state = { search: of('search'), exchange: of('exchange'), sort: of('sort'), from: Number(of('from')) || 1 };
  const search = element('input', { type: 'search', name: 'search', className: 'filter', value: state.search,
    placeholder: 'in symbol and name', autocomplete: 'off' });
  const exchange = element('input', { name: 'exchange', value: state.exchange, size: 12, autocomplete: 'off',
    placeholder: 'all' });
  const known = element('datalist', { id: 'exchanges' });
  exchange.setAttribute('list', 'exchanges');
  const told = element('p', { role: 'status', className: 'quiet' });
  const rows = table({ caption: 'Securities', filter: false, key: (row) => `${row.symbol} ${row.exchange}`,
    none: 'There are no such securities.',
    sort: (order) => go({ sort: order ? `${order.down ? '-' : ''}${order.name}` : '', from: 1 }),
    columns: { symbol: { kind: 'text', show: (symbol, row) => link(symbol, address(symbol, row.exchange)) },
      name: 'text', exchange: 'text', sector: 'text', market_capitalization: 'number' } });
  const back = button('Previous', () => go({ from: Math.max(1, state.from - ROWS) }));
  const next = button('Next', () => go({ from: state.from + ROWS }));

  let asked = 0;
  let total;
  const look = async () => {
    asked += 1;
    const mine = asked;
    const found = await get('/horton/securities', { search: state.search || undefined,
      exchange: state.exchange || undefined, sort: state.sort || undefined, skip: state.from - 1, limit: ROWS });
    if (mine !== asked) return;
    total = found.total;
    for (const row of found.securities) exchanges.add(row.exchange);
    replace(known, ...[...exchanges].filter(Boolean).sort().map((value) => element('option', { value })));
    const end = Math.min(state.from + ROWS - 1, total);
    const down = state.sort.startsWith('-');
    const which = end < state.from ? 'none' : `${number(state.from)} to ${number(end)}`;
    rows.update(found.securities, { order: { name: state.sort.slice(down ? 1 : 0) || 'symbol', down },
      told: `${which} of ${number(total)}` });
    // A button that has the focus keeps it.
    back.setAttribute('aria-disabled', String(state.from === 1));
    next.setAttribute('aria-disabled', String(end === total));
    told.textContent = total === 0 && !state.search && !state.exchange
      ? 'No security is listed yet. This lists them: horton start-collect-securities' : '';
  };

  let typing = false; // the last entry of the history is of a search that is being typed
  function go(change, typed = false) {
    if (change.from && (change.from === state.from || (change.from > state.from && change.from > total))
      && Object.keys(change).length === 1) return;
    Object.assign(state, change);
    const rest = new URLSearchParams(Object.entries(state).filter(([name, value]) =>
      value !== '' && !(name === 'from' && value === 1)));
    history[typed && typing ? 'replaceState' : 'pushState'](null, '', `#securities${rest.size ? `?${rest}` : ''}`);
    typing = typed;
    run(look, told);
  }
  let pause;
  const read = () => {
    clearTimeout(pause);
    if (search.value.trim() === state.search && exchange.value.trim() === state.exchange) return;
    go({ search: search.value.trim(), exchange: exchange.value.trim(), from: 1 }, true);
  };
  for (const input of [search, exchange]) {
    input.oninput = () => {
      clearTimeout(pause);
      pause = setTimeout(() => view.isConnected && read(), TYPED);
    };
  }
  search.onkeydown = (event) => {
    if (event.key !== 'Escape') return;
    search.value = '';
    read();
    event.preventDefault();
  };
  const form = element('form', { className: 'card', role: 'search' }, field('search', search),
    field('exchange', exchange), known);
  form.onsubmit = (event) => {
    event.preventDefault();
    read();
  };
  const pages = element('div', { className: 'pages', role: 'group', 'aria-label': 'Pages' }, back, next);
  let looks = 0;
  return async () => {
    if (looks % AGAIN === 0 || !total) await look();
    looks += 1;
    if (!form.isConnected) replace(view, form, told, rows.element, pages);
  };
}

export function show(view, symbol, query) {
  let refresh;
  return async () => {
    await styled;
    refresh ??= symbol ? (await import('./security.js')).security(view, symbol, query) : list(view, query);
    return refresh();
  };
}
