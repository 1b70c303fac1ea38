// The circuit breakers, as the pool's owner sees and sets them.

import type { Engine } from './engine.ts';
import { BREAKER_STATES } from './stats.ts';
import { show } from './thrown.ts';
import type { Breaker, BreakerCause, BreakerChange, BreakerState, PoolStats } from './types.ts';
import * as glue from './wasm.js';

/** By the numbers of the core's `breaker::Cause`. */
const CAUSES: readonly BreakerCause[] = [
  'consecutive', 'failure-rate', 'slow-rate', 'probe-failed', 'pause-over', 'lease-over', 'probes-succeeded',
  'tripped', 'reset', 'disabled',
];

/** The breaker of a pool. */
export function makeBreaker(engine: Engine, stats: () => PoolStats): Breaker {
  const { breakerPerJob, hasBreaker } = engine.settings;
  const none = breakerPerJob
    ? 'this pool has a breaker for each job: breaker.of(job)'
    : hasBreaker ? undefined : 'this pool was made without a breaker';
  return makeOne(engine, 0, none, () => stats().breaker.state, (job) => {
    if (!breakerPerJob) throw new TypeError("this pool has no breaker for each job: it was made without breaker.per 'job'");
    const handler = engine.handlers.get(job);
    if (handler === undefined) throw new TypeError(`there is no job ${show(job)}`);
    return makeOne(engine, handler, undefined, () => stats().breakers![job]!, () => {
      throw new TypeError('this is the breaker of one job');
    });
  });
}

/** That of a handler's jobs; `none` says why there is none. */
function makeOne(
  engine: Engine,
  handler: number,
  none: string | undefined,
  state: () => BreakerState,
  of: (job: string) => Breaker,
): Breaker {
  let last: BreakerChange[] = [];
  const change = (action: (pool: number, handler: number) => void) => {
    if (none !== undefined) throw new TypeError(none);
    if (engine.pool < 0) return;
    engine.instance.ask(() => action(engine.pool, handler));
    engine.afterBatch();
  };
  return {
    get state() {
      return state();
    },
    get log() {
      // Of a closed pool, or in a reset, what was read last.
      if (none === undefined && engine.pool >= 0) {
        last = engine.instance.ask(() => read(glue.breaker_log(engine.pool, handler)), last);
      }
      return last;
    },
    trip: () => change(glue.breaker_trip),
    reset: () => change(glue.breaker_reset),
    disable: () => change(glue.breaker_disable),
    of,
  };
}

function read(numbers: Float64Array): BreakerChange[] {
  return Array.from({ length: numbers.length / 5 }, (_, i) => {
    const [at, from, to, cause, generation] = numbers.subarray(5 * i) as unknown as [number, number, number, number, number];
    return { at: at / 1000, from: BREAKER_STATES[from]!, to: BREAKER_STATES[to]!, cause: CAUSES[cause]!, generation };
  });
}
