// The numbers that docs/browser.md gives: time of a training step, memory over 200 of them.
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { ask, launch, note, openAll, serve, visit } from './harness.mjs';

const TEXT = 'It is a truth universally acknowledged, that a single man in possession of a good fortune';

let server, browser, page, errors;
before(async () => {
  server = await serve();
  browser = await launch();
  ({ page, errors } = await visit(browser, server.address));
  await openAll(page);
});
after(async () => {
  await browser?.close();
  server?.close();
});

/** Bytes of the worker's WebAssembly memory, and of JavaScript's. */
async function memory() {
  const [worker] = page.workers();
  const wasm = await worker.evaluate(async () => {
    const { default: init } = await import(new URL('mosaec.js', new URL('..', self.location.href)).href);
    return (await init()).memory.buffer.byteLength;
  });
  const js = await page.evaluate(() => performance.memory?.usedJSHeapSize ?? 0);
  return { wasm, js };
}

test('a training step of 1024 features and 512 rows', { timeout: 180_000 }, async () => {
  const of = (steps) => ask(page, { kind: 'measure', text: TEXT, features: 1024, batch: 512, steps });
  await of(1); // Compiles.
  const [one, six] = [await of(1), await of(6)];
  const ms = (six.ms - one.ms) / 5;
  note('training step', { features: 1024, batch: 512, ms });
  assert.ok(ms < 3000, `${ms} ms`);
});

test('memory is flat over 200 steps', { timeout: 180_000 }, async () => {
  const of = (steps) => ask(page, { kind: 'measure', text: TEXT, features: 256, batch: 64, steps });
  await of(20);
  const before = await memory();
  const reply = await of(200);
  const after = await memory();
  const [gpu20, gpu200] = [reply.memory[19], reply.memory[199]];
  note('memory', { gpu20, gpu200, wasmBefore: before.wasm, wasmAfter: after.wasm, jsBefore: before.js, jsAfter: after.js });
  assert.equal(gpu200, gpu20, 'GPU memory');
  assert.ok(after.wasm <= before.wasm + (1 << 20), `WebAssembly: ${before.wasm} to ${after.wasm}`);
  assert.deepEqual(errors, []);
});
