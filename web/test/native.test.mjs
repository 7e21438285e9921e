// The page computes what the native program computes: the same session, the same requests, two adapters.
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { ask, difference, launch, native, note, openAll, serve, visit } from './harness.mjs';

/** Largest difference allowed, relative to the largest magnitude. */
const TOLERANCE = 1e-3;
const TEXT = 'It is a truth universally acknowledged, that a single man in possession of a good fortune';
const MEASURE = { kind: 'measure', text: TEXT, features: 1024, batch: 512, steps: 8 };

let server, browser;
before(async () => {
  server = await serve();
  browser = await launch();
});
after(async () => {
  await browser?.close();
  server?.close();
});

test('logits, codes, losses and trained weights equal those of a native run', { timeout: 180_000 }, async () => {
  const { page, errors } = await visit(browser, server.address);
  await openAll(page);
  const here = await ask(page, MEASURE);
  const files = (folder, names) => names.map((n) => `web/dist/${folder}/${n}`);
  const answers = await native([
    { kind: 'open' },
    { kind: 'model', name: 'inkling-4l', files: files('model', ['config.json', 'tokenizer.json', 'model.safetensors']) },
    { kind: 'dictionary', name: 'dictionary', files: files('dictionary', ['cfg.json', 'sae_weights.safetensors']) },
    MEASURE,
  ]);
  const there = answers.at(-1).reply;
  assert.ok(there, JSON.stringify(answers));
  const differences = {};
  for (const name of ['logits', 'codes', 'losses', 'weights']) {
    assert.ok(there[name].length > 0, name);
    differences[name] = difference(here[name], there[name]);
  }
  note('native', differences);
  for (const [name, by] of Object.entries(differences)) {
    assert.ok(by <= TOLERANCE, `${name} differ by ${by}`);
  }
  // A comparison that could not fail would prove nothing.
  const other = await ask(page, { ...MEASURE, text: `${TEXT} then`, steps: 1 });
  assert.ok(difference(other.logits, there.logits) > TOLERANCE);
  assert.ok(there.losses.at(-1) < there.losses[0], 'training lowers the loss');
  assert.deepEqual(errors, []);
});
