// The pool's breaker, as its owner sees and sets it.

import type { Engine } from './engine.ts';
import { BREAKER_STATES } from './stats.ts';
import type { Breaker, BreakerCause, BreakerChange, BreakerState } from './types.ts';
import * as glue from './wasm.js';

/** By the numbers of the core's `breaker::Cause`. */
const CAUSES: readonly BreakerCause[] = [
  'consecutive', 'failure-rate', 'slow-rate', 'probe-failed', 'pause-over', 'lease-over', 'probes-succeeded',
  'tripped', 'reset', 'disabled',
];

export function makeBreaker(engine: Engine, state: () => BreakerState): Breaker {
  let last: BreakerChange[] = [];
  const change = (action: (pool: number) => void) => {
    if (!engine.settings.hasBreaker) throw new TypeError('this pool was made without a breaker');
    if (engine.pool < 0 || engine.instance.broken) return;
    action(engine.pool);
    engine.afterBatch();
  };
  return {
    get state() {
      return state();
    },
    get log() {
      // Of a closed pool, or in a reset, what was read last.
      if (engine.settings.hasBreaker && engine.pool >= 0 && !engine.instance.broken) {
        try {
          last = read(glue.breaker_log(engine.pool));
        } catch (error) {
          engine.instance.suspect(error);
        }
      }
      return last;
    },
    trip: () => change(glue.breaker_trip),
    reset: () => change(glue.breaker_reset),
    disable: () => change(glue.breaker_disable),
  };
}

function read(numbers: Float64Array): BreakerChange[] {
  return Array.from({ length: numbers.length / 5 }, (_, i) => {
    const [at, from, to, cause, generation] = numbers.subarray(5 * i) as unknown as [number, number, number, number, number];
    return { at: at / 1000, from: BREAKER_STATES[from]!, to: BREAKER_STATES[to]!, cause: CAUSES[cause]!, generation };
  });
}
