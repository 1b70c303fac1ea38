// Bundles and runs the tests of what needs no browser.

import { spawnSync } from 'node:child_process';
import { mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { build } from 'esbuild';

const folder = join(import.meta.dirname, 'test');
const outdir = mkdtempSync(join(tmpdir(), 'weirpool-test-'));
try {
  await build({
    entryPoints: readdirSync(folder).map((file) => join(folder, file)),
    outdir,
    outExtension: { '.js': '.mjs' },
    bundle: true,
    format: 'esm',
    platform: 'node',
    logLevel: 'warning',
  });
  const tests = readdirSync(outdir).map((file) => join(outdir, file));
  process.exitCode = spawnSync(process.execPath, ['--test', ...tests], { stdio: 'inherit' }).status ?? 1;
} finally {
  rmSync(outdir, { recursive: true });
}
