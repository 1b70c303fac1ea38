// Builds the package's JavaScript and its declarations into $WEIRPOOL_DIST (wasm/dist).
// What the wasm build makes (wasm.js, weirpool.wasm) is put beside it by others.

import { execFileSync } from 'node:child_process';
import { mkdtempSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { build } from 'esbuild';
import { minified } from './minify.mjs';

const source = import.meta.dirname;
const folder = resolve(source, '..');
const dist = resolve(process.env.WEIRPOOL_DIST ?? join(folder, 'dist'));
mkdirSync(dist, { recursive: true });

const { outputFiles } = await build({
  entryPoints: ['index.ts', 'worker.ts', 'default-worker.ts'].map((file) => join(source, file)),
  outdir: dist,
  bundle: true,
  format: 'esm',
  target: 'es2022',
  charset: 'utf8',
  external: ['./wasm.js', './worker.js'],
  logLevel: 'warning',
  write: false,
});
for (const { path, text } of outputFiles) writeFileSync(path, await minified(text));

// The declarations: those that the two entries lead to.
const all = mkdtempSync(join(tmpdir(), 'weirpool-types-'));
try {
  const tsc = join(folder, 'node_modules', 'typescript', 'bin', 'tsc');
  execFileSync(process.execPath, [tsc, '-p', join(folder, 'tsconfig.json'), '--outDir', all], { stdio: 'inherit' });
  const wanted = ['index', 'worker'];
  for (const name of wanted) {
    // The compiler leaves the sources' own endings in declarations.
    const text = readFileSync(join(all, `${name}.d.ts`), 'utf8').replace(/^((?:import|export).* from '\.\/[\w-]+)\.ts'/gm, "$1.js'");
    writeFileSync(join(dist, `${name}.d.ts`), text);
    for (const [, other] of text.matchAll(/^(?:import|export).* from ['"]\.\/([\w-]+)\.(?:js|ts)['"]/gm)) {
      if (!wanted.includes(other)) wanted.push(other);
    }
  }
  console.log(`declarations: ${wanted.join(', ')}`);
} finally {
  rmSync(all, { recursive: true });
}
