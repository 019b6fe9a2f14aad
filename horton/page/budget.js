// The request budget, and what waits for it.
import { ask, get } from '/page/api.js';
import { element, replace } from '/page/parts.js';
import { table } from '/page/table.js';
import { duration, time, visible } from '/page/text.js';

const sum = (rows, field) => rows.reduce((all, row) => all + row[field], 0);
const oldest = (rows) => Math.max(0, ...rows.map((row) => row.oldest_unacknowledged ?? 0)) || null;

export function show(view) {
  const notices = element('div');
  const used = table({ caption: 'Budget', none: 'The rate is unlimited (setting service.rate).', filter: false,
    key: (row) => row.allowed,
    columns: { used: 'number', left: 'number', free_again: { show: (at) => (at === 'now' ? at : time(at)) },
      share: { fixed: true, title: '', label: 'share that is used', of: (row) => [row.used, row.left],
        show: ([taken, left], row) => (typeof left === 'number' ? element('progress', { max: taken + left,
          value: taken, 'aria-label': visible(`Used of ${row.allowed}`) }) : '') } } });
  const waiting = table({ caption: 'What waits for it', none: '', filter: false, key: (row) => row.agent,
    columns: { topic: 'topic', waiting: 'number', in_work_here: 'number', oldest: 'ms' } });
  const legend = element('p', { className: 'quiet' }, 'Waiting: events of all workers that are not done. Each needs at ' +
    'least one request. The windows slide: a request is free again when it is as old as its window.');
  return async (asked) => {
    const [now, lag, status] = await Promise.all([get('/horton/budget'), ask('lag'), asked]);
    replace(notices, ...(now.out_of_order === null ? [] : [element('p', { className: 'notice bad' },
      visible(`The service is out of order: ${now.out_of_order}. One request at a time asks it again.`))]));
    used.update(now.budget);
    waiting.update(now.agents.map(({ agent, topic }) => {
      const unread = lag.filter((row) => row.group === status.app && row.topic === topic);
      const reasons = status.partitions.filter((one) => one.topic === topic).flatMap((one) => one.reasons);
      return { agent, topic, waiting: sum(unread, 'lag'), oldest: oldest(unread),
        in_work_here: sum(status.accounts.filter((one) => one.agent === agent), 'in_flight'),
        for: reasons.length ? reasons[0].text : '' };
    }));
    if (!legend.isConnected) replace(view, notices, used.element, waiting.element, legend);
  };
}
