// The four kinds of pool on the page, each under the same load.
import { Pool } from '/weirpool/index.js';

const KINDS = {
  basic: (workers) => ({ workers, queue: { ageing: false } }),
  dynamic: (workers) => ({ workers: { min: 1, max: workers, idleTimeout: 200 } }),
  priority: (workers) => ({ workers }),
  advanced: (workers) => ({
    workers,
    queue: { order: 'deadline' },
    maxInFlight: 1024,
    rateLimit: { limit: 2000, interval: 1000 },
    breaker: true,
    retry: true,
    timeout: 5_000,
    totalTimeout: 30_000,
  }),
};
/** The kinds that are told which jobs are critical. */
const HAVE_PRIORITIES = ['priority', 'advanced'];

/** A tile inside the set: nothing but work, about 1 ms of it. */
const TILE = { width: 16, height: 16, x: 0, y: 0, w: 16, h: 16, centerX: -0.1, centerY: 0, scale: 0.1, maxIterations: 1000 };

const sleep = (ms) => new Promise((resolve) => setTimeout(resolve, ms));

/** One pool under the load; gives its figures. */
async function measure(name, { workers, bursts, normal, critical, distance }) {
  const pool = await Pool.create(KINDS[name](workers));
  await Promise.all(Array.from({ length: 50 }, () => pool.run('mandelbrot', TILE)));
  const waits = { normal: [], critical: [] };
  const run = async (priority) => {
    const called = performance.now();
    const job = HAVE_PRIORITIES.includes(name) ? pool.run('mandelbrot', TILE, { priority }) : pool.run('mandelbrot', TILE);
    await job;
    waits[priority].push(performance.now() - called - job.timing.run);
  };
  const samples = [];
  const sampling = setInterval(() => samples.push(pool.stats().workers.length), 20);
  let busy = 0;
  for (let burst = 0; burst < bursts; burst++) {
    const began = performance.now();
    // Critical jobs come last: whoever treats all alike keeps them waiting longest.
    const order = [...Array(normal).fill('normal'), ...Array(critical).fill('critical')];
    await Promise.all(order.map(run));
    const took = performance.now() - began;
    busy += took;
    await sleep(Math.max(0, distance - took));
  }
  clearInterval(sampling);
  await pool.close();
  const quantile = (numbers, q) => numbers.sort((a, b) => a - b)[Math.ceil(q * numbers.length) - 1];
  return {
    jobsPerSecond: (bursts * (normal + critical) * 1000) / busy,
    normal50: quantile(waits.normal, 0.5),
    normal99: quantile(waits.normal, 0.99),
    critical50: quantile(waits.critical, 0.5),
    critical99: quantile(waits.critical, 0.99),
    workers: samples.reduce((sum, count) => sum + count, 0) / samples.length,
  };
}

/** All kinds, in turn, `rounds` times; each time another one begins. */
globalThis.compare = async ({ rounds, ...load }) => {
  const rows = Object.keys(KINDS).map((name) => ({ name, runs: [] }));
  for (let round = 0; round < rounds; round++) {
    for (let i = 0; i < rows.length; i++) {
      const { name, runs } = rows[(round + i) % rows.length];
      runs.push(await measure(name, load));
    }
  }
  return rows;
};

/** `map` over so many short strings in chunks of each size, in each mode: µs an input, of each round. */
globalThis.chunks = async ({ workers, inputs, sizes, rounds }) => {
  const given = Array.from({ length: inputs }, (_, i) => `to be ${i}`);
  const rows = [];
  for (const mode of ['threads', 'isolated']) {
    const pool = await Pool.create({ mode, workers });
    const runs = sizes.map((chunkSize) => ({ mode, chunkSize, times: [] }));
    for (let round = 0; round < rounds; round++) {
      for (const { chunkSize, times } of runs) {
        const began = performance.now();
        let length = 0;
        for await (const text of pool.map('echo', given, { chunkSize })) length += text.length;
        if (length !== given.join('').length) throw new Error('a result is missing');
        times.push(((performance.now() - began) * 1000) / inputs);
      }
    }
    await pool.close();
    rows.push(...runs);
  }
  return rows;
};
