// The packed tarball before anybody installs it: what the linters of packages and the compilers say.
import { after, before, test } from 'node:test';
import assert from 'node:assert/strict';
import { execFileSync, spawnSync } from 'node:child_process';
import { cpSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
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

let folder;
before(() => {
  folder = mkdtempSync(join(tmpdir(), 'weirpool-types-'));
  cpSync(fileURLToPath(new URL('common', import.meta.url)), folder, { recursive: true });
  writeFileSync(join(folder, 'package.json'), '{ "type": "module" }');
  const unpacked = join(folder, 'node_modules/weirpool');
  mkdirSync(unpacked, { recursive: true });
  execFileSync('tar', ['-xzf', packageTarball(), '-C', unpacked, '--strip-components=1']);
});
after(() => rmSync(folder, { recursive: true, force: true }));

const ours = fileURLToPath(new URL('../../wasm/node_modules', import.meta.url));
const theirs = fileURLToPath(new URL('../node_modules', import.meta.url));
for (const modules of [theirs, ours]) {
  const { version } = JSON.parse(readFileSync(join(modules, 'typescript/package.json'), 'utf8'));
  for (const [project, where] of [['tsconfig.json', 'for a page'], ['tsconfig.node.json', 'in Node']]) {
    test(`what the types say ${where} (TypeScript ${version})`, () => {
      const options = ['--noEmit', '-p', project, '--typeRoots', join(ours, '@types')];
      const { status, stdout } = spawnSync(process.execPath, [join(modules, 'typescript/bin/tsc'), ...options], { cwd: folder, encoding: 'utf8' });
      assert.equal(status, 0, stdout);
    });
  }
}
