// The API reference that ships is what the types give, and they describe every public member.
import { before, test } from 'node:test';
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { headings, reference, referenceFile } from './reference.mjs';

let made;
before(async () => {
  made = await reference();
}, { timeout: 120_000 });

test('every public member is described', () => {
  assert.deepEqual(made.problems, []);
});

test('wasm/API.md is what the types give: `npm run reference` writes it', () => {
  assert.equal(readFileSync(referenceFile, 'utf8'), made.text);
});

test('every link in it leads somewhere', () => {
  const { text } = made;
  const anchors = new Set([
    ...headings(text).map(({ slug }) => slug),
    ...[...text.matchAll(/<a id="([^"]+)">/g)].map(([, id]) => id),
  ]);
  const targets = [...text.matchAll(/\]\(([^)\s]+)\)/g)].map(([, target]) => target);
  const dead = targets.filter((target) => !/^https:/.test(target) && target !== 'README.md' && !anchors.has(target.slice(1)));
  assert.ok(targets.length > 100);
  assert.deepEqual([...new Set(dead)], []);
});
