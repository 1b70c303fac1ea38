// The packed tarball before anybody installs it: what the linters of packages say.
import { test } from 'node:test';
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { packageTarball } from '../support/browser.mjs';

function lint(program, ...options) {
  const path = fileURLToPath(new URL(`../node_modules/.bin/${program}`, import.meta.url));
  const { status, stdout, stderr } = spawnSync(path, [packageTarball(), ...options], { encoding: 'utf8' });
  assert.equal(status, 0, `${stdout}\n${stderr}`);
}

test('publint finds nothing', () => lint('publint', '--strict'));

// There is nothing to tell about the type of a wasm file: what importing one gives is up to the bundler.
test('the types are not wrong', () => lint('attw', '--profile', 'esm-only', '--exclude-entrypoints', 'weirpool.wasm'));
