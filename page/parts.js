// Parts of the page: tables, tiles and small charts. Text from records only ever becomes text.

export function element(tag, properties = {}, ...children) {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(properties)) {
    if (name === 'role') made.setAttribute(name, value);
    else made[name] = value;
  }
  made.append(...children);
  return made;
}

export function replace(view, ...children) {
  view.replaceChildren(...children);
}

const titled = (name) => name.replaceAll('_', ' ');

export function cell(value) {
  const made = element('td');
  if (value === null || value === undefined) return made;
  if (typeof value === 'number') {
    made.className = 'number';
    made.textContent = value.toLocaleString();
  } else if (typeof value === 'object') {
    made.className = 'value';
    made.textContent = JSON.stringify(value);
  } else {
    made.textContent = String(value);
  }
  return made;
}

// Rows as the commands print them: objects with the same fields. `link` makes a field a link, `actions` adds buttons.
export function table(rows, { caption, none, link = {}, actions }) {
  if (rows.length === 0) return element('p', { className: 'quiet' }, none);
  const names = Object.keys(rows[0]);
  const head = element('tr');
  for (const name of names)
    head.append(element('th', { scope: 'col', className: typeof rows[0][name] === 'number' ? 'number' : '' }, titled(name)));
  if (actions) head.append(element('th', { scope: 'col' }, 'actions'));
  const body = element('tbody');
  for (const row of rows) {
    const line = element('tr');
    for (const name of names) {
      if (link[name]) line.append(element('td', {}, element('a', { href: link[name](row) }, String(row[name]))));
      else line.append(cell(row[name]));
    }
    if (actions) line.append(element('td', {}, ...actions(row)));
    body.append(line);
  }
  const made = element('table', {}, element('thead', {}, head), body);
  made.setAttribute('aria-label', caption);
  const scroll = element('div', { className: 'scroll', tabIndex: 0 }, made);
  scroll.setAttribute('role', 'region');
  scroll.setAttribute('aria-label', caption);
  return scroll;
}

const SVG = 'http://www.w3.org/2000/svg';

function chart(name, numbers) {
  const svg = document.createElementNS(SVG, 'svg');
  svg.setAttribute('viewBox', '0 0 100 30');
  svg.setAttribute('preserveAspectRatio', 'none');
  svg.setAttribute('role', 'img');
  svg.setAttribute('aria-label', `${name}, the last ${numbers.length} looks, at most ${Math.max(...numbers)}`);
  const most = Math.max(...numbers, 1);
  const points = numbers.map((value, i) =>
    `${(numbers.length === 1 ? 0 : i / (numbers.length - 1)) * 100},${29 - (value / most) * 28}`);
  const line = document.createElementNS(SVG, 'polyline');
  line.setAttribute('class', 'series');
  line.setAttribute('points', points.join(' '));
  svg.append(line);
  return svg;
}

export function tiles(rows) {
  return element('div', { className: 'tiles' }, ...rows.map((row) =>
    element('div', { className: 'tile' }, element('span', { className: 'quiet' }, row.name),
      element('b', { className: row.bad ? 'bad' : '' }, Math.round(row.value).toLocaleString()),
      chart(row.name, row.history))));
}
