// The page as a visitor uses it, from the first paint to a lost GPU, in one sitting. Each test goes on where
// the one before it ended. Limits of time are generous, since this also runs on two busy cores without a GPU;
// what was measured goes into target/browser.json.
import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { ask, launch, note, serve, visit } from './harness.mjs';

const TEXT = 'Emma had been used to think of Mr. Knightley as a friend, and could not but be pleased that he was coming to dine with her father.';
/** Milliseconds for things that take seconds at most. */
const SOON = 60_000;

/** @type {Awaited<ReturnType<typeof serve>>} */
let server;
/** @type {import('playwright-core').Browser} */
let browser;
/** @type {import('playwright-core').Page} */
let page;
/** @type {string[]} */
let errors;
let folder = '';

before(async () => {
  folder = mkdtempSync(join(tmpdir(), 'mosaec-'));
  server = await serve();
  browser = await launch();
  // The first visit warms the server and the browser up.
  const first = await visit(browser, server.address);
  await first.context.close();
});
after(async () => {
  await browser?.close();
  server?.close();
  rmSync(folder, { recursive: true, force: true });
});

const shown = (selector) => page.waitForSelector(selector, { timeout: SOON });
const view = async (name) => {
  await page.click(`nav.views a[href="#${name}"]`);
  await shown(`#view-${name}`);
};
const state = () => ask(page, { kind: 'state' });
const problem = () => page.textContent('#problem');
const idle = () => page.waitForFunction(() => /** @type {HTMLElement} */ (document.getElementById('progress')).hidden, null, { timeout: SOON });

/** The step of the training that goes on, once `enough` says so. A lost device is no answer. */
async function training(/** @type {(t: any) => boolean} */ enough) {
  for (const end = Date.now() + 2 * SOON; Date.now() < end;) {
    const now = await state().catch(() => null);
    if (now?.training && enough(now.training)) return now.training.step;
    await page.waitForTimeout(200);
  }
  return assert.fail('training did not go on');
}

/** Milliseconds of the middle one of several readings; each of another text, since the last one is kept. */
async function usual(text) {
  const times = [];
  for (const start of ['Oh! ', 'No. ', 'But ', 'And ', 'Yet ']) {
    times.push((await ask(page, { kind: 'read', text: start + text, feature: null, token: null })).ms);
  }
  return times.sort((a, b) => a - b)[2];
}

test('the first paint comes at once, and shows a sentence, features and what can be done', { timeout: SOON }, async () => {
  ({ page, errors } = await visit(browser, server.address));
  const paint = await page.waitForFunction(() => performance.getEntriesByName('first-contentful-paint')[0]?.startTime);
  const ms = await paint.jsonValue();
  await page.waitForFunction(() => document.documentElement.classList.contains('js'));
  const bytes = await page.evaluate(() => new Blob([document.documentElement.outerHTML]).size);
  note('first paint', { ms, htmlBytes: bytes });
  assert.ok(ms < 3000, `${ms} ms`);
  const text = await page.innerText('#view-start');
  assert.match(text, /Load the model \(\d+\.\d MB\)/);
  assert.ok(await page.locator('#view-start .t').count() > 5, 'a sentence is shaded');
  assert.ok(await page.locator('#view-start .cards li').count() >= 6, 'features are shown');
  const fetched = await page.evaluate(() => performance.getEntriesByType('resource').map((e) => e.name));
  assert.ok(!fetched.some((name) => /model\.safetensors|tokenizer/.test(name)), `${fetched}`);
});

test('features can be looked at before the model is there', { timeout: SOON }, async () => {
  await view('features');
  await shown('#list-rows tr[data-feature]');
  assert.ok(await page.locator('#list-rows tr').count() >= 20);
  await page.locator('#list-rows tr[data-feature]').nth(3).click();
  await page.waitForFunction(() => /i=\d+/.test(location.hash));
  assert.ok((await page.innerText('#feature-out')).length > 200);
  // By keyboard: search, leave the search, step.
  await page.locator('#list').focus();
  await page.keyboard.press('/');
  assert.equal(await page.evaluate(() => document.activeElement?.getAttribute('name')), 'query');
  const before = await page.textContent('#list-found');
  await page.keyboard.type('the');
  await page.waitForFunction((before) => document.getElementById('list-found')?.textContent !== before, before);
  await page.keyboard.press('Escape');
  const hash = await page.evaluate(() => location.hash);
  await page.keyboard.press('ArrowRight');
  await page.waitForFunction((hash) => location.hash !== hash, hash);
  assert.deepEqual(errors, []);
});

test('the model is loaded by one button', { timeout: 2 * SOON }, async () => {
  await view('start');
  const started = Date.now();
  await page.click('#view-start button.load');
  await page.waitForFunction(() => document.documentElement.classList.contains('loaded'), null, { timeout: SOON });
  await page.waitForFunction(() => location.hash.startsWith('#read'));
  note('load', { ms: Date.now() - started });
  assert.match(await page.innerText('#status'), /inkling-4l/);
});

test('a text is read while it is typed', { timeout: 3 * SOON }, async () => {
  await shown('#read-form');
  await page.fill('#read-form textarea', '');
  await page.locator('#read-form textarea').pressSequentially('Elizabeth', { delay: 20 });
  await page.waitForFunction(() => /Elizabeth/.test(document.querySelector('#read-out .rd')?.textContent?.replace(/[^A-Za-z]/g, '') ?? ''), null, { timeout: SOON });
  await page.fill('#read-form textarea', TEXT);
  await page.waitForFunction(() => document.querySelectorAll('#read-out [data-token]').length > 25, null, { timeout: SOON });
  await page.waitForFunction(() => location.hash.includes('text=Emma'), null, { timeout: SOON });
  // By keyboard from token to token.
  await page.locator('#read-out [data-token="5"]').click();
  await page.keyboard.press('ArrowRight');
  await page.waitForSelector('#read-out [data-token="6"][aria-selected=true]');
  await page.waitForFunction(() => /token=6/.test(location.hash));

  const { tokens } = await page.evaluate(() => ({ tokens: document.querySelectorAll('#read-out [data-token]').length }));
  const ms = await usual(TEXT);
  note('read', { tokens, ms });
  assert.ok(tokens >= 32, `${tokens} tokens`);
  assert.ok(ms < 3000, `${ms} ms`);
  assert.deepEqual(errors, []);
});

test('a feature that fires in the text opens, and can be tried on another', { timeout: SOON }, async () => {
  await page.locator('#read-out [data-feature], #read-out a[href^="#features"]').first().click();
  await shown('#view-features #feature-out h3');
  await page.fill('#test-form textarea', 'the carriage, the dinner and the ball');
  await shown('#test-out .rd .t');
  assert.match(await page.innerText('#test-out'), /max|does not fire/);
  assert.deepEqual(errors, []);
});

test('steering writes two texts from one seed, and a control', { timeout: 3 * SOON }, async () => {
  await view('steer');
  await page.locator('#steer-offers [data-add]').first().click();
  await shown('#steer-edits [data-edit]');
  await page.fill('#steer-form [name=tokens]', '6');
  const started = Date.now();
  await page.click('#steer-form button[type=submit]');
  await shown('#steer-result [name=control]');
  await page.waitForSelector('#steer-result[aria-busy=false]', { timeout: SOON });
  const first = await page.innerText('#steer-result');
  note('steer', { tokens: 6, ms: Date.now() - started });
  assert.match(await page.evaluate(() => location.hash), /f=\d+/);
  await page.click('#steer-result [name=control]');
  await page.waitForSelector('#steer-control[aria-busy=false]', { timeout: SOON });
  assert.ok((await page.innerText('#steer-control')).length > 50);
  // The same seed gives the same texts.
  await page.click('#steer-form button[type=submit]');
  await page.waitForSelector('#steer-result[aria-busy=true]');
  await page.waitForSelector('#steer-result[aria-busy=false]', { timeout: SOON });
  assert.equal(await page.innerText('#steer-result'), first);
  assert.deepEqual(errors, []);
});

test('patching fills its map', { timeout: 4 * SOON }, async () => {
  await view('patch');
  await page.fill('#patch-task-form [name=prompts]', '2');
  const started = Date.now();
  await page.click('#patch-task-form button[type=submit]');
  await page.waitForSelector('#patch-map .cell', { timeout: SOON });
  const rows = Date.now() - started;
  await page.waitForSelector('#patch-result[aria-busy=false]', { timeout: 3 * SOON });
  note('patch', { pairs: 2, firstCellsMs: rows, ms: Date.now() - started });
  assert.ok(await page.locator('#patch-map .cell').count() >= 8);
  assert.ok(await page.locator('#patch-features svg').count() >= 1);
  assert.deepEqual(errors, []);
});

test('a dictionary is trained, the page stays at hand, and it is in use at the end', { timeout: 4 * SOON }, async () => {
  await view('train');
  await page.evaluate(async () => {
    const { listen } = await import(new URL('js/client.js', document.baseURI).href);
    const seen = { states: [], long: [] };
    Object.assign(window, { seen });
    listen((e) => e.kind === 'training' && seen.states.push(e));
    new PerformanceObserver((list) => seen.long.push(...list.getEntries().map((e) => e.duration))).observe({ type: 'longtask' });
  });
  await page.fill('#train-form [name=features]', '256');
  await page.fill('#train-form [name=steps]', '30');
  await page.fill('#train-form [name=batch]', '256');
  await page.locator('#train-form summary').click();
  await page.fill('#train-form [name=tokens]', '8192');
  await page.fill('#train-form [name=name]', 'mine');
  const started = Date.now();
  await page.click('#train-form button[type=submit]');
  await shown('#train-pause');
  // Another view answers meanwhile.
  const reading = await ask(page, { kind: 'read', text: 'She was sensible and clever', feature: null, token: null });
  await page.waitForFunction(() => document.querySelector('#train-done:not([hidden])'), null, { timeout: 3 * SOON });
  const ms = Date.now() - started;
  const { states, long } = await page.evaluate(() => /** @type {any} */ (window).seen);
  const last = states.at(-1);
  note('train', { steps: 30, features: 256, batch: 256, ms, readingMeanwhileMs: reading.ms, longestTaskMs: Math.max(0, ...long), loss: last.loss });
  assert.equal(last.finished, true);
  assert.ok(last.loss[1] < last.loss[0], `the loss falls: ${last.loss}`);
  assert.ok(Math.max(0, ...long) < 400, `tasks of ${long} ms on the page's thread`);
  assert.equal((await state()).dictionary, 'mine');
  await idle();
  assert.deepEqual(errors, []);
});

let saved = '';
test('it can be saved and opened again after a reload', { timeout: 4 * SOON }, async () => {
  const [download] = await Promise.all([page.waitForEvent('download'), page.click('#train-done button.save-dictionary')]);
  saved = join(folder, download.suggestedFilename());
  await download.saveAs(saved);
  assert.match(saved, /\.zip$/);
  const read = () => ask(page, { kind: 'measure', text: TEXT, features: 64, batch: 32, steps: 1 });
  const before = await read();
  await page.reload();
  await view('model');
  await page.setInputFiles('#model-files', saved);
  await page.waitForFunction(() => /is open and in use/.test(document.getElementById('model-note')?.textContent ?? ''), null, { timeout: 2 * SOON });
  await idle();
  const after = await read();
  assert.deepEqual(after.codes, before.codes);
  assert.deepEqual(errors, []);
});

test('broken files are refused in words, and nothing is lost by them', { timeout: 2 * SOON }, async () => {
  const { dictionary } = await state();
  const broken = join(folder, 'model.safetensors');
  writeFileSync(broken, '<!doctype html><title>404</title>');
  writeFileSync(join(folder, 'config.json'), '{"model_type": "mamba"}');
  writeFileSync(join(folder, 'tokenizer.json'), '{}');
  await page.setInputFiles('#model-files', ['config.json', 'model.safetensors', 'tokenizer.json'].map((f) => join(folder, f)));
  await page.waitForSelector('#problem:not([hidden])', { timeout: SOON });
  assert.match((await problem()) ?? '', /mamba.*is not supported/);
  await page.click('#problem button');
  const now = await state();
  assert.deepEqual([now.dictionary, now.model?.name], [dictionary, 'inkling-4l']);
  assert.ok((await ask(page, { kind: 'read', text: 'still here', feature: null, token: null })).html.length > 100);
  assert.deepEqual(errors, []);
});

test('a lost GPU comes back with everything, and training goes on', { timeout: 4 * SOON }, async () => {
  const before = await state();
  await ask(page, { kind: 'lose' }).catch(() => {});
  await view('read');
  await page.fill('#read-form textarea', 'The GPU was lost, and nobody noticed.');
  await page.waitForFunction(() => /nobody/.test(document.querySelector('#read-out .rd')?.textContent?.replace(/[^A-Za-z]/g, '') ?? ''), null, { timeout: SOON });
  const after = await state();
  assert.deepEqual(after.dictionaries, before.dictionaries);
  assert.equal(after.dictionary, before.dictionary);

  await view('train');
  await page.fill('#train-form [name=features]', '256');
  await page.fill('#train-form [name=steps]', '20000');
  await page.fill('#train-form [name=batch]', '128');
  await page.evaluate(() => { /** @type {HTMLDetailsElement} */ (document.querySelector('#train-form details')).open = true; });
  await page.fill('#train-form [name=tokens]', '8192');
  await page.fill('#train-form [name=name]', 'lost and found');
  await page.click('#train-form button[type=submit]');
  const step = await training((t) => t.step > 5);
  await ask(page, { kind: 'lose' }).catch(() => {});
  await training((t) => t.step > step + 5);
  await page.click('#train-discard');
  await page.waitForSelector('#train-form:not([hidden]) button[type=submit]', { timeout: SOON });
  assert.equal((await state()).training, null);
  // The page says that the GPU is gone; it is no error of the page's.
  assert.deepEqual(errors, []);
});

test('a link restores the view', { timeout: 3 * SOON }, async () => {
  const link = `${server.address}#read?${new URLSearchParams({ text: 'A link with a text', token: '3' })}`;
  const other = await visit(browser, link);
  await other.page.waitForSelector('#view-read:not([hidden])');
  assert.equal(await other.page.inputValue('#read-form textarea'), 'A link with a text');
  await other.page.locator('#view-read button.load').first().click();
  await other.page.waitForSelector('#read-out [data-token="3"][aria-selected=true]', { timeout: SOON });
  const feature = await visit(browser, `${server.address}#features?i=12`);
  await feature.page.waitForFunction(() => /\/12\b/.test(document.getElementById('feature-out')?.textContent ?? ''), null, { timeout: SOON });
  assert.deepEqual([...other.errors, ...feature.errors], []);
  await other.context.close();
  await feature.context.close();
});
