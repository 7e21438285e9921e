// Every kernel against its CPU reference in the browser, by the page's own button.
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { after, before, test } from 'node:test';
import { launch, mosaec, note, serve, visit } from './harness.mjs';

let server, browser;
before(async () => {
  server = await serve();
  browser = await launch();
});
after(async () => {
  await browser?.close();
  server?.close();
});

test('the self-test of the page passes with all the cases there are', { timeout: 900_000 }, async () => {
  const { page, errors } = await visit(browser, server.address);
  const started = Date.now();
  await page.click('#selftest');
  await page.waitForFunction(() => document.getElementById('selftest-result')?.textContent, null, { timeout: 850_000 });
  const result = await page.textContent('#selftest-result');
  const failed = await page.locator('#selftest-failed li').allTextContents();
  note('kernels', { result, seconds: (Date.now() - started) / 1000 });
  assert.deepEqual(failed, []);
  const [, cases, kernels] = /^(\d+) cases of (\d+) kernels agree/.exec(result ?? '') ?? [];
  const table = JSON.parse(execFileSync(mosaec, ['selftest', '--list', '--json'], { encoding: 'utf8' }));
  assert.equal(Number(cases), table.length);
  assert.equal(Number(kernels), new Set(table.map((c) => c.kernel)).size);
  assert.deepEqual(errors, []);
});
