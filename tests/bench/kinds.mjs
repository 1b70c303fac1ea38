// `npm run bench:kinds`: the four kinds of pool under the same bursts of jobs in headless Chromium, in turn, and of each its
// fastest round, since whatever else the machine does only slows one down; and `map` in chunks. Prints the tables of the
// package's README. No assertion.
import { cpSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { cpus, tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { benchFolder, launch, open, packageFolder } from '../support/browser.mjs';
import { serve } from '../support/server.mjs';

const settings = { workers: 2, bursts: 4, normal: 475, critical: 25, distance: 1000, rounds: 10 };
const chunked = { workers: 2, inputs: 20_000, sizes: [1, 8, 32, 128], rounds: 5 };

const here = (path) => fileURLToPath(new URL(path, import.meta.url));
const folder = mkdtempSync(join(tmpdir(), 'weirpool-kinds-'));
writeFileSync(join(folder, 'index.html'), '<!doctype html><script type="module" src="./kinds.js"></script>');
cpSync(here('kinds.js'), join(folder, 'kinds.js'));
const server = await serve({ '/': folder, '/weirpool/': packageFolder });
const browser = await launch();
try {
  const page = await open(browser, `${server.origin}/index.html`);
  await page.waitForFunction('globalThis.compare !== undefined');
  const rows = await page.evaluate((settings) => compare(settings), settings);
  const sizes = await page.evaluate((chunked) => chunks(chunked), chunked);
  if (page.problems.length > 0) console.error(page.problems.join('\n'));
  report(rows);
  reportChunks(sizes);
} finally {
  await browser.close();
  await server.close();
  rmSync(folder, { recursive: true, force: true });
}

function report(rows) {
  const { workers, bursts, normal, critical, distance, rounds } = settings;
  console.log(
    `${bursts} bursts of ${normal} normal and then ${critical} critical jobs of about 1 ms, ${distance} ms apart, ` +
      `${workers} workers, the fastest of ${rounds} rounds; Chromium ${browser.version()}, ${cpus().length} × ${cpus()[0]?.model ?? 'unknown'}`,
  );
  console.log('| pool | jobs/s | normal: median wait | 99th percentile | critical: median wait | 99th percentile | workers |');
  console.log('|---|---:|---:|---:|---:|---:|---:|');
  for (const { name, runs } of rows) {
    const best = runs.reduce((one, other) => (other.jobsPerSecond > one.jobsPerSecond ? other : one));
    const ms = (time) => `${time < 10 ? time.toFixed(1) : time.toFixed(0)} ms`;
    const waits = [best.normal50, best.normal99, best.critical50, best.critical99].map(ms);
    console.log(`| ${[name, Math.round(best.jobsPerSecond), ...waits, best.workers.toFixed(1)].join(' | ')} |`);
  }
  mkdirSync(benchFolder, { recursive: true });
  writeFileSync(join(benchFolder, 'kinds.json'), `${JSON.stringify({ settings, rows }, null, 2)}\n`);
}

function reportChunks(rows) {
  console.log(`\nmap of 'echo' over ${chunked.inputs} short strings, ${chunked.workers} workers, µs an input, the fastest of ${chunked.rounds} rounds`);
  console.log(`| chunkSize | ${chunked.sizes.join(' | ')} |`);
  console.log(`|---|${'---:|'.repeat(chunked.sizes.length)}`);
  for (const mode of new Set(rows.map((row) => row.mode))) {
    const best = rows.filter((row) => row.mode === mode).map(({ times }) => Math.min(...times).toFixed(1));
    console.log(`| ${[mode, ...best].join(' | ')} |`);
  }
}
