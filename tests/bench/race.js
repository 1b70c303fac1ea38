// The race on the page: each contender runs empty jobs, in rounds that take turns.
import { Pool } from '/weirpool/index.js';
import workerpool from 'workerpool';

/** A pool as one writes it by hand: an id for each message, a map of resolvers, workers in turn. */
class PostMessagePool {
  #workers;
  #pending = new Map();
  #id = 0;

  constructor(count) {
    this.#workers = Array.from({ length: count }, () => {
      const worker = new Worker('/post-message-worker.js', { type: 'module' });
      worker.onmessage = ({ data: { id, value } }) => {
        const resolve = this.#pending.get(id);
        this.#pending.delete(id);
        resolve(value);
      };
      return worker;
    });
  }

  run(input) {
    return new Promise((resolve) => {
      const id = ++this.#id;
      this.#pending.set(id, resolve);
      this.#workers[id % this.#workers.length].postMessage({ id, input });
    });
  }

  close() {
    for (const worker of this.#workers) worker.terminate();
  }
}

/** Every contender: how it is started, how it runs one empty job, how it is closed. */
const contenders = {
  weirpool: (workers) => weirpool(workers, {}),
  'weirpool, with time-outs': (workers) => weirpool(workers, { timeout: 30_000, queueTimeout: 30_000 }),
  'postMessage pool': async (workers) => {
    const pool = new PostMessagePool(workers);
    return { run: () => pool.run(undefined), close: () => pool.close() };
  },
  workerpool: async (workers) => {
    const pool = workerpool.pool('/workerpool-worker.js', { minWorkers: workers, maxWorkers: workers, workerType: 'web' });
    return { run: () => pool.exec('echo', []), close: () => pool.terminate() };
  },
};

/** Every gate on, none of them in the way. */
async function weirpool(workers, options) {
  const pool = await Pool.create({
    workers,
    queue: { capacity: 1024 },
    maxInFlight: 1024,
    rateLimit: { limit: 10_000_000, interval: 1000 },
    breaker: true,
    ...options,
  });
  return { run: () => pool.run('echo'), close: () => pool.close() };
}

/** Runs `jobs` jobs, `outstanding` at once, each awaited by its own promise; gives jobs per second. */
async function throughput(run, jobs, outstanding) {
  let left = jobs;
  const lane = async () => {
    while (left-- > 0) await run();
  };
  const started = performance.now();
  await Promise.all(Array.from({ length: outstanding }, lane));
  return (jobs / (performance.now() - started)) * 1000;
}

/** Round trips one after another; gives the median in µs. */
async function roundTrip(run, jobs) {
  const times = new Float64Array(jobs);
  for (let i = 0; i < jobs; i++) {
    const started = performance.now();
    await run();
    times[i] = performance.now() - started;
  }
  return times.sort()[jobs >> 1] * 1000;
}

/** Races all contenders: `rounds` samples of about `sampleMs` each, one contender after the other in each round. */
globalThis.race = async ({ workers, outstanding, rounds, sampleMs, trips }) => {
  const entries = [];
  for (const [name, start] of Object.entries(contenders)) {
    const contender = await start(workers);
    // Warmed up and measured at once: how many jobs make one sample.
    let jobs = 1000;
    for (let spent = 0; ; jobs *= 2) {
      const rate = await throughput(contender.run, jobs, outstanding);
      spent += jobs / rate;
      if (spent > 1 || jobs / rate > 0.25) {
        jobs = Math.max(1000, Math.round((rate * sampleMs) / 1000));
        break;
      }
    }
    entries.push({ name, contender, jobs, rates: [], trips: [] });
  }
  for (let round = 0; round < rounds; round++) {
    for (const entry of entries) entry.rates.push(await throughput(entry.contender.run, entry.jobs, outstanding));
    for (const entry of entries) entry.trips.push(await roundTrip(entry.contender.run, trips));
  }
  for (const { contender } of entries) await contender.close();
  return entries.map(({ name, jobs, rates, trips }) => ({ name, jobs, rates, trips }));
};
