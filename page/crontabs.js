// Crontabs: what comes, what ran, and running one now.
import { tell } from './api.js';
import { button, element, replace, run } from './parts.js';
import { table } from './table.js';
import { visible } from './text.js';

export function crontabs(view) {
  const told = element('p', { role: 'status', className: 'quiet' });
  const start = (name) => run(async () => {
    await tell('cron', { action: 'run-now', what: name }, { kept: true });
    told.textContent = visible(`The leader runs ${name} now.`);
  }, told);
  const jobs = table({ caption: 'Crontabs', none: 'The app has no crontabs.', filter: false, key: (row) => row.name,
    columns: { start: { fixed: true, title: '', label: 'run now', of: (row) => row.name,
      show: (name) => button('Run now', () => start(name), { 'aria-label': `Run ${name} now` }) } } });
  const next = table({ caption: 'Next slots', none: 'No slot comes.', filter: false,
    key: (row) => JSON.stringify(row) });
  const last = table({ caption: 'Last slots', none: 'No slot has run yet.', key: (row) => JSON.stringify(row) });
  replace(view, jobs.element, told, next.element, last.element);
  return async () => {
    const [all, slots, runs] = await Promise.all(['list', 'next', 'history'].map((action) => tell('cron', { action })));
    jobs.update(all);
    next.update(slots);
    last.update(runs.reverse());
  };
}
