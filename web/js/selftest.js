// The foot of the page: what computes, and whether it computes what it should.
import { ask } from './client.js';
import { busy, byId, opened } from './app.js';

/** @param {import('../protocol').State} state */
export function changed({ adapter }) {
  byId('facts').textContent = adapter ? `${adapter.line}.` : 'The GPU is not open yet.';
}

async function run() {
  const button = /** @type {HTMLButtonElement} */ (byId('selftest'));
  const failed = byId('selftest-failed');
  byId('selftest-result').textContent = '';
  failed.hidden = true;
  button.disabled = true;
  const result = await busy('Self-test', async (onEvent) => {
    opened(await ask('state', { kind: 'open' }));
    return ask('self_test', { kind: 'self_test', kernel: '' }, { onEvent });
  });
  button.disabled = false;
  if (!result) return;
  const of = `${result.cases} cases of ${result.kernels} kernels`;
  byId('selftest-result').textContent = result.failed.length
    ? `${result.failed.length} of ${of} failed: do not trust numbers from this browser, and please report it.`
    : `${of} agree with their references.`;
  failed.replaceChildren(...result.failed.map((/** @type {string} */ line) => {
    const item = document.createElement('li');
    item.textContent = line;
    return item;
  }));
  failed.hidden = result.failed.length === 0;
}

// Not by `byId`: this module runs before app.js.
document.getElementById('selftest')?.addEventListener('click', run);
