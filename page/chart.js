// Small charts of the last minutes, true to time: where the page did not look, there is a gap.
import { element } from './parts.js';

const SPAN = 300_000; // ms that a chart shows
const GAP = 10_000; // ms between two looks beyond which a line is broken
const WIDTH = 300;
const HEIGHT = 48;
const SVG = 'http://www.w3.org/2000/svg';

const all = new Map(); // name -> [{ time, value }]

export function remember(name, value, time = Date.now()) {
  if (value === undefined) return;
  const points = all.get(name) ?? [];
  points.push({ time, value });
  while (points[0].time < time - SPAN) points.shift();
  all.set(name, points);
}

// What a counter has grown by, for each second since the last look; undefined at the first one.
export function grown(name, total, time = Date.now()) {
  const before = grown.last.get(name);
  grown.last.set(name, { total, time });
  if (!before || total < before.total || time <= before.time) return undefined;
  return ((total - before.total) * 1000) / (time - before.time);
}
grown.last = new Map();

function svg(tag, attributes) {
  const made = document.createElementNS(SVG, tag);
  for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, value);
  return made;
}

export function chart(name, text) {
  const area = svg('path', { class: 'area' });
  const line = svg('path', { class: 'line' });
  const mark = svg('line', { class: 'mark', y1: 0, y2: HEIGHT });
  const picture = svg('svg', { viewBox: `0 0 ${WIDTH} ${HEIGHT}`, preserveAspectRatio: 'none', role: 'img' });
  picture.append(area, line, mark);
  const most = element('span', { className: 'most', 'aria-hidden': true });
  const made = element('div', { className: 'chart' }, picture, most);
  let points = [];
  let now = 0;
  const x = (time) => WIDTH - ((now - time) / SPAN) * WIDTH;
  const highest = () => Math.max(...points.map((point) => point.value), 0);
  const rest = () => {
    most.textContent = points.length ? `most ${text(highest())}` : '';
    mark.style.display = 'none';
  };
  picture.onpointermove = (event) => {
    const at = now - (1 - event.offsetX / picture.clientWidth) * SPAN;
    const near = points.reduce((best, point) =>
      (Math.abs(point.time - at) < Math.abs((best?.time ?? Infinity) - at) ? point : best), undefined);
    if (!near) return;
    mark.setAttribute('x1', x(near.time));
    mark.setAttribute('x2', x(near.time));
    mark.style.display = '';
    most.textContent = `${text(near.value)}, ${Math.round((now - near.time) / 1000)} s ago`;
  };
  picture.onpointerleave = rest;

  return {
    element: made,
    update(time = Date.now()) {
      points = all.get(name) ?? [];
      now = time;
      const top = highest() || 1;
      const y = (value) => HEIGHT - 1 - (value / top) * (HEIGHT - 4);
      const runs = [];
      for (const point of points) {
        if (!runs.length || point.time - runs.at(-1).at(-1).time > GAP) runs.push([]);
        runs.at(-1).push(point);
      }
      const path = (run) => run.map((point) => `${x(point.time).toFixed(1)} ${y(point.value).toFixed(1)}`).join('L');
      line.setAttribute('d', runs.map((run) => `M${path(run)}${run.length === 1 ? 'h.1' : ''}`).join(''));
      area.setAttribute('d', runs.map((run) =>
        `M${x(run[0].time).toFixed(1)} ${HEIGHT}L${path(run)}L${x(run.at(-1).time).toFixed(1)} ${HEIGHT}Z`).join(''));
      picture.setAttribute('aria-label',
        `${name} in the last five minutes: now ${text(points.at(-1)?.value ?? 0)}, at most ${text(highest())}`);
      if (!picture.matches(':hover')) rest();
    },
  };
}
