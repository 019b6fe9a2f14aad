// A table that is updated in place: what a person has focused, opened, selected or scrolled to stays.
import { button, element, topicLink, value as json } from './parts.js';
import { bytes, duration, number, plain, time, titled, visible } from './text.js';

const ROWS = 200; // that are shown at first; more by a button

// How values are shown. A kind gives text or an element.
const kinds = {
  number: { right: true, show: number },
  bytes: { right: true, show: bytes },
  ms: { right: true, show: duration },
  time: { show: time, className: 'time' },
  json: { show: json, className: 'value' },
  topic: { show: (name) => topicLink(name) },
  text: { show: (value) => visible(plain(value)) },
};

function kindOf(rows, name) {
  const value = rows.find((row) => row[name] !== null && row[name] !== undefined)?.[name];
  if (typeof value === 'number') return kinds.number;
  return typeof value === 'object' ? kinds.json : kinds.text;
}

const signature = (value) => (typeof value === 'object' ? JSON.stringify(value) : `${typeof value} ${value}`);

const compare = (a, b) => {
  if (a === null || a === undefined || b === null || b === undefined)
    return Number(a === null || a === undefined) - Number(b === null || b === undefined);
  if (typeof a === 'number' && typeof b === 'number') return a - b;
  return plain(a).localeCompare(plain(b), 'en', { numeric: true });
};

// `columns`: name -> a kind's name, or { kind, title, show(value, row), hidden }. Fields without one are shown by their
// values. `key` tells which row is which at the next update. Of a list that the server sorts, `sort` asks for an order:
// { name, down }, or none; an update tells the order that the rows have, and which rows they are.
export function table({ caption, none, columns = {}, key, filter = true, tools = [], level = 'h2', sort: ask }) {
  let rows = [];
  let names = [];
  let order; // { name, down }
  let told; // which rows these are
  let most = ROWS;
  const lines = new Map();

  const count = element('span', { className: 'quiet count' });
  const search = element('input', { type: 'search', placeholder: 'filter', className: 'filter',
    'aria-label': `Filter ${caption}` });
  const head = element('tr');
  const body = element('tbody');
  const grid = element('table', { 'aria-label': caption }, element('thead', {}, head), body);
  const scroll = element('div', { className: 'scroll', tabIndex: 0, role: 'region', 'aria-label': caption }, grid);
  const empty = element('p', { className: 'quiet none' });
  const more = button('', () => {
    most += 1000;
    draw();
  });
  const made = element('section', { className: 'block' },
    element('div', { className: 'bar' }, element(level, {}, visible(caption)), count, ...tools, ...(filter ? [search] : [])),
    empty, scroll, more);
  for (const one of [scroll, more, empty, search]) one.hidden = true;
  search.oninput = () => {
    most = ROWS;
    draw();
  };
  search.onkeydown = (event) => {
    if (event.key === 'Escape' && search.value) {
      search.value = '';
      draw();
      event.preventDefault();
    }
  };

  const columnOf = (name) => {
    const given = columns[name];
    const own = typeof given === 'string' ? { kind: given } : given ?? {};
    return { ...(kinds[own.kind] ?? kindOf(rows, name)), ...own };
  };

  function drawHead() {
    head.replaceChildren(...names.map((name) => {
      const column = columnOf(name);
      const title = column.title ?? titled(name);
      const sort = button(title, () => {
        let next;
        if (order?.name !== name) next = { name, down: Boolean(column.right) };
        else if (order.down === Boolean(column.right)) next = { name, down: !order.down };
        if (ask) {
          ask(next);
          return;
        }
        order = next;
        mark();
        draw();
      }, { className: 'sort', title: `Sort by ${title}` });
      const cell = element('th', { scope: 'col', className: column.right ? 'number' : '' },
        column.fixed ? title || element('span', { className: 'hidden' }, column.label) : sort);
      cell.dataset.name = name;
      return cell;
    }));
    mark();
  }

  function mark() {
    for (const cell of head.children) {
      if (order?.name === cell.dataset.name) cell.setAttribute('aria-sort', order.down ? 'descending' : 'ascending');
      else cell.removeAttribute('aria-sort');
    }
  }

  function fill(line, row, shown) {
    names.forEach((name, i) => {
      const column = shown[i];
      const now = column.of ? column.of(row) : row[name];
      const sign = signature(now);
      const cell = line.children[i];
      if (cell.sign === sign) return;
      cell.sign = sign;
      const text = now === null || now === undefined ? '' : column.show(now, row);
      cell.replaceChildren(...(Array.isArray(text) ? text : [text]));
      if (column.bad) cell.classList.toggle('bad', column.bad(now, row));
    });
  }

  function draw() {
    const wanted = search.value.trim().toLowerCase();
    let found = wanted === '' ? rows : rows.filter((row) => JSON.stringify(row).toLowerCase().includes(wanted));
    if (order && !ask) {
      const { name, down } = order;
      found = found.toSorted((a, b) => (down ? compare(b[name], a[name]) : compare(a[name], b[name])));
    }
    const some = found.slice(0, most);
    const shown = names.map(columnOf);
    const seen = new Set();
    let place = body.firstElementChild;
    some.forEach((row, i) => {
      let id = key ? key(row) : i;
      while (seen.has(id)) id = `${id}'`;
      seen.add(id);
      let line = lines.get(id);
      if (!line) {
        line = element('tr', {}, ...shown.map((column) =>
          element('td', { className: [column.right ? 'number' : '', column.className ?? ''].join(' ').trim() })));
        lines.set(id, line);
      }
      fill(line, row, shown);
      if (line === place) place = place.nextElementSibling;
      else body.insertBefore(line, place);
    });
    while (place) {
      const next = place.nextElementSibling;
      place.remove();
      place = next;
    }
    for (const id of lines.keys()) if (!seen.has(id)) lines.delete(id);
    scroll.hidden = some.length === 0;
    empty.hidden = some.length > 0;
    empty.textContent = rows.length === 0 ? none : 'Nothing here has this text.';
    search.hidden = rows.length < 2;
    const among = found.length === rows.length ? '' : `${number(found.length)} of `;
    count.textContent = told ?? `${among}${number(rows.length)}`;
    more.hidden = some.length === found.length;
    more.textContent = `Show more: ${number(some.length)} of ${number(found.length)} are here`;
  }

  return {
    element: made,
    get rows() {
      return rows;
    },
    update(now, by = {}) {
      rows = now;
      told = by.told;
      if (ask) order = by.order;
      const first = rows.length ? Object.keys(columns).filter((name) => columns[name].of) : [];
      const fields = rows.length ? Object.keys(rows[0]).filter((name) => !columns[name]?.hidden) : names;
      const all = rows.length ? [...first.filter((name) => columns[name].first), ...fields,
        ...first.filter((name) => !columns[name].first)] : names;
      if (all.join('\n') !== names.join('\n')) {
        names = all;
        lines.clear();
        body.replaceChildren();
        drawHead();
      } else if (ask) {
        mark();
      }
      draw();
    },
  };
}
