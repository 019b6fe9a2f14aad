// The chart of a security's closes, with the extremes of each year. A part of it is chosen with the mouse, or with the
// fields and buttons above it.
import { button, element, field } from '/page/parts.js';
import { number, plain } from '/page/text.js';
import uPlot from './uplot.js';

const MARK = 8; // px of an extreme

const secondsOf = (date) => Date.parse(date) / 1000;
const dateOf = (seconds) => new Date(seconds * 1000).toISOString().slice(0, 10);
const colour = (name) => () => getComputedStyle(document.documentElement).getPropertyValue(name).trim();
const isDate = (text) => /^\d{4}-\d\d-\d\d$/.test(text ?? '') && !Number.isNaN(secondsOf(text));
const isRange = (from, to) => isDate(from) && isDate(to) && from < to;

// `keep` is told the chosen range { from, to }, or {}, when it changes; `query` has it at first.
export function prices({ bars, extremes, query, keep }) {
  const adjusted = Boolean(extremes?.adjusted);
  const dates = bars.map((bar) => bar.date);
  const times = dates.map(secondsOf);
  const closes = bars.map((bar) => Number(plain((adjusted ? bar.adjusted_close : undefined) ?? bar.close)));
  const marks = (which) => {
    const found = new Map((extremes?.years ?? []).map((year) => [year[which].date, Number(plain(year[which].close))]));
    return dates.map((date) => found.get(date) ?? null);
  };
  const [first, last] = [dates[0], dates.at(-1)];
  const whole = { min: times[0], max: Math.max(times.at(-1), times[0] + 1) };
  const wanted = { from: query.get('from'), to: query.get('to') };

  const span = `between ${number(Math.min(...closes))} and ${number(Math.max(...closes))}`;
  const box = element('div', { className: 'plot', role: 'img',
    'aria-label': `Closes from ${first} to ${last}, ${span}; the last is ${number(closes.at(-1))}` });
  const rest = `The close of ${last} is ${closes.at(-1)}.`;
  const read = element('p', { className: 'quiet read' }, rest);
  const from = element('input', { type: 'date', name: 'from', min: first, max: last });
  const to = element('input', { type: 'date', name: 'to', min: first, max: last });
  const legend = element('span', { className: 'quiet' }, adjusted ? 'adjusted for splits and dividends'
    : 'not adjusted for splits and dividends', element('span', { className: 'high' }, 'highest of a year'),
  element('span', { className: 'low' }, 'lowest of a year'));

  let plot;
  const zoom = (min, max) => plot?.setScale('x', { min: Math.max(min, whole.min), max: Math.min(max, whole.max) });
  const lastYears = (count) => button(count === 1 ? '1 year' : `${count} years`, () =>
    zoom(secondsOf(`${Number(last.slice(0, 4)) - count}${last.slice(4)}`) || whole.min, whole.max));
  for (const input of [from, to]) {
    input.onchange = () => {
      if (isRange(from.value, to.value)) zoom(secondsOf(from.value), secondsOf(to.value));
    };
  }
  const made = element('section', { className: 'block card prices' },
    element('div', { className: 'bar' }, element('h2', {}, adjusted ? 'Adjusted closes' : 'Closes'), legend),
    element('div', { className: 'buttons' }, field('from', from), field('to', to), lastYears(1), lastYears(5),
      button('All', () => zoom(whole.min, whole.max))), box, read);

  // The range that is shown; {} if it is the whole.
  function chosen() {
    const { min, max } = plot.scales.x;
    return min <= whole.min && max >= whole.max ? {} : { from: dateOf(min), to: dateOf(max) };
  }

  const size = () => ({ width: Math.max(box.clientWidth, 100), height: Math.max(box.clientHeight, 100) });
  const onlyMarks = (name) => ({ stroke: colour(name), paths: () => null,
    points: { show: true, size: MARK, fill: colour(name), stroke: colour(name) } });
  const axis = { stroke: colour('--quiet'), grid: { stroke: colour('--line'), width: 1 },
    ticks: { stroke: colour('--line'), width: 1 }, font: '12px system-ui, sans-serif' };
  const options = () => ({
    ...size(),
    legend: { show: false },
    cursor: { y: false, drag: { x: true, y: false } },
    tzDate: (seconds) => uPlot.tzDate(new Date(seconds * 1000), 'UTC'),
    scales: { x: isRange(wanted.from, wanted.to) ? { min: secondsOf(wanted.from), max: secondsOf(wanted.to) } : {} },
    axes: [axis, { ...axis, size: 64, values: (_, values) => values.map(number) }],
    series: [{}, { stroke: colour('--accent'), width: 1.5 }, onlyMarks('--good'), onlyMarks('--bad')],
    hooks: {
      setScale: [(drawn, name) => {
        if (name !== 'x') return;
        from.value = dateOf(drawn.scales.x.min);
        to.value = dateOf(drawn.scales.x.max);
        if (plot) keep(chosen());
      }],
      setCursor: [(drawn) => {
        const at = drawn.cursor.idx;
        read.textContent = at === null || at === undefined ? rest : `The close of ${dates[at]} is ${closes[at]}.`;
      }],
    },
  });

  return {
    element: made,
    query: () => (plot ? new URLSearchParams(chosen()) : query),
    // When it is in the page, as it takes its size from there.
    draw() {
      plot = new uPlot(options(), [times, closes, marks('highest'), marks('lowest')], box);
      new ResizeObserver(() => plot.setSize(size())).observe(box);
      const scheme = matchMedia('(prefers-color-scheme: dark)');
      const again = () => (box.isConnected ? plot.redraw() : scheme.removeEventListener('change', again));
      scheme.addEventListener('change', again);
    },
  };
}
