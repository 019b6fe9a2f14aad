// What Horton's views share.
import { element } from '/page/parts.js';

// Of a security's view, with a range of days.
export const address = (symbol, exchange, range = {}) =>
  `#securities/${encodeURIComponent(symbol)}?${new URLSearchParams({ exchange, ...range })}`;

// Done when the styles are there, so that nothing moves when they come.
export const styled = Promise.all(['uplot', 'prices'].map((name) => new Promise((done) => {
  const sheet = element('link', { rel: 'stylesheet', href: `/horton/page/${name}.css` });
  sheet.onload = done;
  sheet.onerror = done;
  document.head.append(sheet);
})));

// An argument of a command in a shell.
export const quoted = (text) => (/^[\w.-]+$/.test(text) ? text : `'${text.replaceAll("'", "'\\''")}'`);
