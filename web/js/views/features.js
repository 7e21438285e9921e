// The view Features: the list, the page of one feature, and the box to try it in.
import { builtInText, busy, byId, pages, say, state } from '../app.js';
import { ask, call } from '../client.js';
import { download } from '../files.js';
import { go, link, note, number, place } from '../url.js';
import { readText } from './read.js';

/** @typedef {import('../../protocol').ListRequest} ListRequest */
/** @typedef {import('../../protocol').SortBy} SortBy */

const ROWS = 50;

/** The feature on show. @type {number | null} */
let shown = null;
/** Those of the list that are there, in its order. @type {number[]} */
let order = [];
/** How many the list has. */
let found = 0;
/** What the list and the page were made for: nothing is asked twice. */
let listed = '';
let paged = '';
/** The visitor's own text in the box; empty: the first example of each feature. */
let own = '';
let timer = 0;
let spent = 100;
let tests = 0;
let begun = false;

/** @template {HTMLElement} T @param {string} selector */
const within = (selector) => /** @type {T} */ (byId('view-features').querySelector(selector));
const query = () => /** @type {HTMLInputElement} */ (within('[name=query]'));
const sort = () => /** @type {HTMLSelectElement} */ (within('[name=sort]'));
const reverse = () => /** @type {HTMLInputElement} */ (within('[name=reverse]'));
const box = () => /** @type {HTMLTextAreaElement | null} */ (within('#test-form textarea'));

const params = () => ({ i: shown, q: query().value, sort: sort().value === 'interest' ? null : sort().value, reverse: reverse().checked, text: own });

/** @param {URLSearchParams} asked */
export async function show(asked) {
  if (!begun) begin();
  if (['q', 'sort', 'reverse'].some((name) => asked.has(name))) {
    query().value = asked.get('q') ?? '';
    sort().value = asked.get('sort') ?? 'interest';
    reverse().checked = asked.has('reverse');
  }
  own = asked.get('text') ?? own;
  await ready();
  const i = number(asked.get('i'));
  if (i === null) {
    await list();
    if (shown === null || paged !== pageKey(shown)) await open(shown ?? order[0] ?? null);
  } else {
    await Promise.all([list(), open(i)]);
  }
  note('features', params());
}

/** @param {import('../../protocol').State} now */
export function changed(now) {
  const name = JSON.stringify([now.dictionary, now.model?.name]);
  if (listed && !listed.startsWith(name)) {
    if (!listed.startsWith(`[${JSON.stringify(now.dictionary)},`)) shown = null;
    listed = '';
    paged = '';
  }
}

/** Sees to it that something can be known of the features: the atlas, or a text to find them in. */
async function ready() {
  if (!state.dictionaries.length) await pages();
  const dictionary = state.dictionaries.find((d) => d.name === state.dictionary);
  if (dictionary && !dictionary.pages && !state.text) await builtInText();
}

const listKey = () => JSON.stringify([state.dictionary, state.model?.name]) + JSON.stringify(wanted(0));

/** @param {number} i */
const pageKey = (i) => JSON.stringify([state.dictionary, i]);

/** @param {number} from @param {number} [count] @returns {ListRequest} */
function wanted(from, count = ROWS) {
  const by = /** @type {SortBy} */ (sort().value);
  return { query: query().value, sort: by, reverse: reverse().checked, from, count, text: by === 'activation' ? readText() : '' };
}

/** The list from its beginning. */
async function list() {
  const key = listKey();
  if (key === listed) return;
  const request = wanted(0);
  const reply = await busy('Looking through the features', (onEvent) => ask('list', { kind: 'list', ...request }, { onEvent }));
  if (!reply || key !== listKey()) return;
  listed = key;
  order = reply.features;
  found = reply.found;
  byId('list-rows').innerHTML = reply.html || '<tr><td colspan="6" class="muted">No feature matches.</td></tr>';
  byId('list').scrollTop = 0;
  afterRows();
}

/** The next rows of it. */
async function more() {
  const key = listed;
  if (order.length >= found) return;
  const request = wanted(order.length);
  try {
    const reply = await ask('list', { kind: 'list', ...request });
    if (key !== listed || request.from !== order.length) return;
    order.push(...reply.features);
    byId('list-rows').insertAdjacentHTML('beforeend', reply.html);
    afterRows();
  } catch (e) {
    say(e);
  }
}

function afterRows() {
  byId('list-more').hidden = order.length >= found;
  mark();
}

/** Shows where in the list the feature stands. */
function mark() {
  for (const row of byId('list-rows').querySelectorAll('tr.here')) row.classList.remove('here');
  const at = shown === null ? -1 : order.indexOf(shown);
  byId('list-found').textContent = at < 0 ? `${found} features` : `${at + 1} of ${found}`;
  const row = at < 0 ? null : /** @type {HTMLElement | null} */ (byId('list-rows').children[at]);
  if (!row) return;
  row.classList.add('here');
  const frame = byId('list');
  const head = /** @type {HTMLElement} */ (frame.querySelector('thead')).offsetHeight;
  if (row.offsetTop - head < frame.scrollTop) frame.scrollTop = row.offsetTop - head;
  else if (row.offsetTop + row.offsetHeight > frame.scrollTop + frame.clientHeight) {
    frame.scrollTop = row.offsetTop + row.offsetHeight - frame.clientHeight;
  }
}

/** The page of a feature. @param {number | null} i */
async function open(i) {
  if (i === null) {
    byId('feature-out').innerHTML = '<p class="muted">No feature fires here.</p>';
    return;
  }
  shown = i;
  mark();
  const key = pageKey(i);
  if (key !== paged) {
    const reply = await busy('Making the page of the feature', (onEvent) => ask('feature', { kind: 'feature', feature: i }, { onEvent }));
    if (!reply || shown !== i) return;
    paged = key;
    byId('feature-out').innerHTML = reply.html;
    const text = box();
    if (text) text.value = own || firstExample();
  }
  await test();
}

const firstExample = () => within('[data-text]')?.getAttribute('data-text') ?? '';

/** The feature on the text in the box. @param {boolean} [ablate] */
async function test(ablate = false) {
  clearTimeout(timer);
  const text = box()?.value ?? '';
  const out = within('#test-out');
  if (!out || shown === null) return;
  const mine = ++tests;
  const weights = state.dictionaries.find((d) => d.name === state.dictionary)?.weights;
  if (!state.model || !weights) {
    out.replaceChildren(/** @type {HTMLTemplateElement} */ (byId('test-load')).content.cloneNode(true));
    return;
  }
  const began = performance.now();
  try {
    const reply = await ask('html', { kind: 'test', feature: shown, text, ablate });
    spent = performance.now() - began;
    if (mine === tests && out.isConnected) out.innerHTML = reply.html;
  } catch (e) {
    say(e);
  }
}

/** One further or back in the list. @param {number} by */
async function step(by) {
  const at = shown === null ? -1 : order.indexOf(shown);
  if (at + by >= order.length) await more();
  const to = order[Math.min(Math.max(at + by, 0), order.length - 1)];
  if (to === undefined || to === shown) return;
  await open(to);
  note('features', params());
}

async function random() {
  if (!found) return;
  try {
    const at = Math.floor(Math.random() * found);
    const { features } = await ask('list', { kind: 'list', ...wanted(at, 1) });
    if (features.length) go('features', { ...params(), i: features[0] });
  } catch (e) {
    say(e);
  }
}

async function again() {
  await list();
  if (order.length && (shown === null || !order.includes(shown))) await open(order[0]);
  note('features', params());
}

/** @param {HTMLElement} button @param {string} text */
function told(button, text) {
  const before = button.textContent;
  button.textContent = text;
  setTimeout(() => { button.textContent = before; }, 1500);
}

function begin() {
  begun = true;
  const form = byId('list-form');
  form.addEventListener('submit', (e) => e.preventDefault());
  let typing = 0;
  form.addEventListener('input', (e) => {
    clearTimeout(typing);
    typing = setTimeout(again, e.target === query() ? 120 : 0);
  });
  byId('list-rows').addEventListener('click', (e) => {
    const row = /** @type {Element} */ (e.target).closest('[data-feature]');
    if (!row) return;
    e.preventDefault();
    // The page's own way to open a feature would forget the search.
    e.stopPropagation();
    go('features', { ...params(), i: row.getAttribute('data-feature') });
  });
  byId('list-more').onclick = more;
  new IntersectionObserver((seen) => {
    if (seen.some((s) => s.isIntersecting)) more();
  }, { root: byId('list') }).observe(byId('list-more'));
  byId('feature-before').onclick = () => step(-1);
  byId('feature-after').onclick = () => step(1);
  byId('feature-random').onclick = random;
  byId('feature-link').onclick = async () => {
    const url = new URL(link('features', { ...params(), text: own || null }), location.href).href;
    try {
      await navigator.clipboard.writeText(url);
      told(byId('feature-link'), 'Copied');
    } catch {
      say(new Error(`The browser does not let this page copy. The link is ${url}`));
    }
  };
  byId('feature-save').onclick = async () => {
    if (shown === null) return;
    try {
      const { files } = await call({ kind: 'export', feature: shown });
      for (const [name, bytes] of files) download(name, bytes, 'application/json');
    } catch (e) {
      say(e);
    }
  };
  const out = byId('feature-out');
  out.addEventListener('submit', (e) => e.preventDefault());
  out.addEventListener('input', (e) => {
    if (e.target !== box()) return;
    own = box()?.value ?? '';
    clearTimeout(timer);
    timer = setTimeout(() => {
      test();
      note('features', params());
    }, Math.min(Math.max(spent / 2, 50), 400));
  });
  out.addEventListener('click', (e) => {
    const target = /** @type {Element} */ (e.target);
    const chip = target.closest('[data-text]');
    const text = box();
    if (chip && text) {
      text.value = chip.getAttribute('data-text') ?? '';
      own = '';
      test();
    }
    if (target.closest('#test-ablate')) test(true);
  });
  document.addEventListener('keydown', (e) => {
    if (place().view !== 'features' || e.ctrlKey || e.metaKey || e.altKey) return;
    const target = /** @type {Element} */ (e.target);
    if (e.key === 'Escape' && target === query()) {
      query().value = '';
      query().blur();
      again();
    }
    if (target.closest('input, select, textarea')) return;
    if (e.key === '/') query().focus(), query().select();
    else if (e.key === 'ArrowRight') step(1);
    else if (e.key === 'ArrowLeft') step(-1);
    else if (e.key === 'r') random();
    else if (e.key === 's') {
      sort().selectedIndex = (sort().selectedIndex + 1) % sort().options.length;
      again();
    } else return;
    e.preventDefault();
  });
}
