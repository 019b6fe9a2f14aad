// Texts for people, made of values.

// Characters that would change how the text around them is shown, or cannot be seen, are written as \uXXXX.
const HIDDEN =
  /[\u0000-\u001f\u007f-\u009f\u00ad\u061c\u200b\u200e\u200f\u2028-\u202e\u2060-\u206f\ufeff]|[\ud800-\udbff](?![\udc00-\udfff])|(?<![\ud800-\udbff])[\udc00-\udfff]/g;

export const visible = (text) =>
  text.replace(HIDDEN, (character) => `\\u${character.charCodeAt(0).toString(16).padStart(4, '0')}`);

// The same for text of several lines.
export const visibleLines = (text) => text.split('\n').map(visible).join('\n');

export const cut = (text, most) => (text.length > most ? `${text.slice(0, most)}…` : text);

export const isRaw = (value) => JSON.isRawJSON?.(value) ?? false;

export function plain(value) {
  if (value === null || value === undefined) return '';
  if (isRaw(value)) return value.rawJSON;
  return typeof value === 'object' ? JSON.stringify(value) : String(value);
}

export function number(value) {
  if (typeof value !== 'number') return plain(value);
  return value.toLocaleString('en', { maximumFractionDigits: 3 });
}

export const rate = (value) => value.toLocaleString('en', { maximumFractionDigits: value < 10 ? 1 : 0 });

export function bytes(value) {
  if (typeof value !== 'number') return plain(value);
  const units = ['B', 'kB', 'MB', 'GB', 'TB'];
  let unit = 0;
  while (value >= 1000 && unit < units.length - 1) {
    value /= 1000;
    unit += 1;
  }
  return `${value.toLocaleString('en', { maximumFractionDigits: unit && value < 100 ? 1 : 0 })} ${units[unit]}`;
}

export function duration(ms) {
  if (typeof ms !== 'number') return plain(ms);
  if (ms < 1000) return `${Math.round(ms)} ms`;
  const steps = [['d', 86_400_000], ['h', 3_600_000], ['min', 60_000], ['s', 1000]];
  const at = steps.findIndex(([, size]) => ms >= size);
  const [unit, size] = steps[at];
  if (unit === 's') return `${(ms / 1000).toFixed(ms < 10_000 ? 1 : 0)} s`;
  const [next, part] = steps[at + 1];
  const rest = Math.floor((ms % size) / part);
  return `${Math.floor(ms / size)} ${unit}${rest ? ` ${rest} ${next}` : ''}`;
}

// 2026-11-30 04:21:49.752 of an ISO time, to the millisecond.
export function time(iso) {
  const parts = /^(\d{4}-\d\d-\d\d)T(\d\d:\d\d:\d\d)(\.\d{1,3})?/.exec(iso ?? '');
  return parts ? `${parts[1]} ${parts[2]}${parts[3] ?? ''}` : plain(iso);
}

// 0-2, 5 of [0, 1, 2, 5].
export function fold(numbers) {
  const runs = [];
  for (const one of numbers) {
    if (runs.length && runs.at(-1)[1] === one - 1) runs.at(-1)[1] = one;
    else runs.push([one, one]);
  }
  return runs.map(([from, to]) => (from === to ? `${from}` : `${from}-${to}`)).join(', ');
}

export const titled = (name) => name.replaceAll('_', ' ');
