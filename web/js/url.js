// The state of the page in its address: #view?name=value&...

/** @typedef {{ view: string, params: URLSearchParams }} Place */

/** @returns {Place} */
export function place() {
  const [view, query = ''] = location.hash.slice(1).split('?');
  return { view: view || 'start', params: new URLSearchParams(query) };
}

/** @param {string} view @param {Record<string, string | number | boolean | null | undefined>} params */
export function link(view, params = {}) {
  const query = new URLSearchParams();
  for (const [name, value] of Object.entries(params)) {
    if (value !== undefined && value !== null && value !== '' && value !== false) query.set(name, String(value));
  }
  const text = query.toString();
  return `#${view}${text ? `?${text}` : ''}`;
}

/**
 * Goes to a place, as a click on a link does.
 * @param {string} view @param {Record<string, string | number | boolean | null | undefined>} [params]
 */
export function go(view, params) {
  location.hash = link(view, params);
}

/**
 * Notes the state of the view that is shown, without a step of its own in the history.
 * @param {string} view @param {Record<string, string | number | boolean | null | undefined>} params
 */
export function note(view, params) {
  if (place().view === view) history.replaceState(null, '', link(view, params));
}

/** A number of an address; `null` if there is none. @param {string | null} text */
export function number(text) {
  return text === null || text.trim() === '' || !Number.isFinite(Number(text)) ? null : Number(text);
}
