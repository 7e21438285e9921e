// What the browser tests share: the page served by `mosaec web`, and a browser that shows it.
import { spawn } from 'node:child_process';
import { accessSync, constants, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { delimiter, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { chromium } from 'playwright-core';

export const root = fileURLToPath(new URL('../..', import.meta.url));
const target = process.env.CARGO_TARGET_DIR ?? join(root, 'target');
export const mosaec = join(target, 'release/mosaec');
export const sessionExample = join(target, 'release/examples/session');

/** The browser: $MOSAEC_CHROMIUM, or the first Chromium or Chrome on the PATH. */
export function browserPath() {
  const names = ['chromium', 'chromium-browser', 'google-chrome-stable', 'google-chrome', 'chrome'];
  const on = (process.env.PATH ?? '').split(delimiter);
  const all = process.env.MOSAEC_CHROMIUM
    ? [process.env.MOSAEC_CHROMIUM]
    : names.flatMap((name) => on.map((dir) => join(dir, name)));
  for (const path of all) {
    try {
      accessSync(path, constants.X_OK);
      return path;
    } catch {
      // The next.
    }
  }
  throw new Error('no Chromium or Chrome found; MOSAEC_CHROMIUM=PATH names one');
}

// Software rendering where there is no GPU; the new headless mode is the one with WebGPU.
const FLAGS = [
  '--headless=new', '--no-sandbox', '--enable-unsafe-webgpu', '--disable-quic', '--no-first-run',
  '--disable-background-networking', '--disable-component-update', '--disable-sync',
  '--enable-precise-memory-info',
];

/** @param {import('playwright-core').LaunchOptions} [options] */
export function launch(options = {}) {
  // Playwright's own headless mode has no WebGPU. A profile of its own is made for each launch.
  return chromium.launch({ executablePath: browserPath(), headless: false, args: FLAGS, ...options });
}

/** A port that nothing listens on. @returns {Promise<number>} */
function freePort() {
  return new Promise((resolve, reject) => {
    const server = createServer();
    server.once('error', reject);
    server.listen(0, '127.0.0.1', () => {
      const { port } = /** @type {import('node:net').AddressInfo} */ (server.address());
      server.close(() => resolve(port));
    });
  });
}

/** Serves web/dist; gives its address and its end. */
export async function serve() {
  const port = await freePort();
  const child = spawn(mosaec, ['web', '--folder', join(root, 'web/dist'), '--port', String(port)], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  const address = await new Promise((resolve, reject) => {
    child.once('error', reject);
    child.once('exit', (code) => reject(new Error(`mosaec web ended with ${code}`)));
    child.stdout.once('data', (line) => resolve(String(line).trim()));
  });
  return { address: /** @type {string} */ (address), close: () => child.kill() };
}

/**
 * A page in a context of its own, which notes everything that a visitor's console would show as an error.
 * @param {import('playwright-core').Browser} browser
 * @param {string} url
 * @param {import('playwright-core').BrowserContextOptions} [options]
 */
export async function visit(browser, url, options = {}) {
  const context = await browser.newContext({ viewport: { width: 1200, height: 900 }, ...options });
  const page = await context.newPage();
  /** @type {string[]} */
  const errors = [];
  page.on('console', (m) => {
    if (m.type() === 'error') errors.push(m.text());
  });
  page.on('pageerror', (e) => errors.push(String(e)));
  await page.goto(url);
  return { page, context, errors };
}

/**
 * Asks the engine of the page, as its scripts do: the same worker, the same protocol. Files are fetched
 * from the server by their path from the page.
 * @param {import('playwright-core').Page} page
 * @param {Record<string, unknown>} request
 * @param {string[]} [files]
 */
export function ask(page, request, files = []) {
  return page.evaluate(async ([request, files]) => {
    const { call } = await import(new URL('js/client.js', document.baseURI).href);
    const named = await Promise.all(files.map(async (path) => [
      path.split('/').pop(),
      new Uint8Array(await (await fetch(path)).arrayBuffer()),
    ]));
    const started = performance.now();
    const { reply } = await call(request, { files: named });
    return { ...reply, ms: performance.now() - started };
  }, /** @type {[Record<string, unknown>, string[]]} */ ([request, files]));
}

/** The model and the dictionary of the page, opened by requests. @param {import('playwright-core').Page} page */
export async function openAll(page) {
  await ask(page, { kind: 'open' });
  await ask(page, { kind: 'model', name: 'inkling-4l' }, ['config.json', 'tokenizer.json', 'model.safetensors'].map((f) => `model/${f}`));
  return ask(page, { kind: 'dictionary', name: 'dictionary' }, ['cfg.json', 'sae_weights.safetensors'].map((f) => `dictionary/${f}`));
}

/**
 * A session without a browser, on a native adapter.
 * @param {Record<string, unknown>[]} requests
 * @returns {Promise<any[]>}
 */
export function native(requests) {
  return new Promise((resolve, reject) => {
    const child = spawn(sessionExample, [], { cwd: root, stdio: ['pipe', 'pipe', 'inherit'] });
    let text = '';
    child.stdout.on('data', (data) => { text += data; });
    child.once('error', reject);
    child.once('exit', (code) => {
      if (code) reject(new Error(`the session example ended with ${code}`));
      else resolve(text.trim().split('\n').map((line) => JSON.parse(line)));
    });
    child.stdin.end(requests.map((r) => JSON.stringify(r)).join('\n'));
  });
}

/** Numbers that were measured, for docs/browser.md: target/browser.json, one object per test. */
export function note(/** @type {string} */ name, /** @type {Record<string, unknown>} */ numbers) {
  const file = join(target, 'browser.json');
  let all = {};
  try {
    all = JSON.parse(readFileSync(file, 'utf8'));
  } catch {
    // The first.
  }
  mkdirSync(target, { recursive: true });
  writeFileSync(file, `${JSON.stringify({ ...all, [name]: numbers }, null, 1)}\n`);
  console.log(`${name}: ${JSON.stringify(numbers)}`);
}

/** The largest difference of two lists over the largest magnitude of the second. */
export function difference(/** @type {number[]} */ a, /** @type {number[]} */ b) {
  if (a.length !== b.length) return Infinity;
  const scale = Math.max(...b.map(Math.abs), 1e-12);
  return Math.max(...a.map((v, i) => Math.abs(v - b[i]))) / scale;
}
