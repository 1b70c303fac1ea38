// map(): a job for each input or for several, and their results as a stream. Inputs are read as results are taken.

import type { Job } from './job.ts';
import { PoolError } from './errors.ts';
import { Chunk } from './value.ts';

/** The options of `map`, checked. */
export interface MapSettings {
  ordered: boolean;
  /** The most inputs that are read and whose results are not taken. */
  concurrency: number;
  /** How many inputs make one job. */
  chunkSize: number;
  signal: AbortSignal | undefined;
}

/** A result to come. */
interface Place {
  /** Which input it is of, from 0. */
  index: number;
  value: unknown;
  there: boolean;
}

/**
 * The results of `start(input)`, or of `start` of chunks of them, for each of `inputs`. Nothing is read before the first is
 * asked for. Whatever ends it early (an error, an abort, the consumer) cancels the jobs under way and closes the source.
 */
export async function* map(
  start: (input: unknown) => Job<unknown>,
  inputs: Iterable<unknown> | AsyncIterable<unknown>,
  { ordered, concurrency, chunkSize, signal }: MapSettings,
): AsyncGenerator<unknown, void, undefined> {
  if (signal?.aborted) throw signal.reason;
  const source = (inputs as AsyncIterable<unknown>)[Symbol.asyncIterator]?.() ?? (inputs as Iterable<unknown>)[Symbol.iterator]();
  const jobs = new Set<Job<unknown>>();
  /** Those and the ones that wait for the rate limit. */
  let open = 0;
  /** Ordered: one for each input that was read. Else: those that are there. */
  let places: Place[] = [];
  /** The next of them to be taken. */
  let next = 0;
  /** Inputs that are read, or being read, whose results are not taken. */
  let held = 0;
  /** The inputs of the next job, and where their results go. */
  let gathered: unknown[] = [];
  let gatheredPlaces: Place[] = [];
  /** How many inputs have been read. */
  let read = 0;
  let reading = false;
  let exhausted = false;
  let over = false;
  let failure: { error: unknown } | undefined;
  let wake = () => {};

  const fail = (error: unknown) => {
    if (over || failure !== undefined) return;
    failure = { error };
    for (const job of jobs) job.cancel(error);
    wake();
  };
  const begin = (input: unknown, its: readonly Place[]) => {
    const job = start(input);
    jobs.add(job);
    job.then(
      (value) => {
        jobs.delete(job);
        open--;
        its.forEach((place, i) => {
          place.value = chunkSize > 1 ? (value as unknown[])[i] : value;
          place.there = true;
          if (!ordered) places.push(place);
        });
        wake();
      },
      (error: unknown) => {
        jobs.delete(job);
        const limited = error instanceof PoolError && error.code === 'ERR_RATE_LIMITED';
        // Backpressure too, but without a queue to wait in.
        if (limited) setTimeout(() => over || failure !== undefined || begin(input, its), error.retryAfter);
        else if (failure === undefined) {
          if (error instanceof PoolError) Object.assign(error, { index: its[0]!.index });
          fail(error);
        }
      },
    );
  };
  const send = () => {
    const [inputs, its] = [gathered, gatheredPlaces];
    [gathered, gatheredPlaces] = [[], []];
    open++;
    begin(chunkSize > 1 ? new Chunk(inputs) : inputs[0], its);
  };
  const arrived = ({ done, value }: IteratorResult<unknown>) => {
    if (done) {
      exhausted = true;
      held--;
      wake();
      return;
    }
    const place: Place = { index: read++, value: undefined, there: false };
    if (ordered) places.push(place);
    gatheredPlaces.push(place);
    if (gathered.push(value) === chunkSize) send();
  };
  /** A source that throws has ended, and is not to be closed. */
  const broken = (error: unknown) => {
    exhausted = true;
    fail(error);
  };
  const fill = () => {
    while (held < concurrency && !reading && !exhausted && failure === undefined) {
      held++;
      try {
        const step = source.next();
        if ('then' in step) {
          reading = true;
          step.then((result) => {
            reading = false;
            if (over) return;
            arrived(result);
            fill();
          }, broken);
        } else {
          arrived(step);
        }
      } catch (error) {
        broken(error);
      }
    }
    // What a chunk that is not full waits for may itself wait for results.
    const idle = open === 0 && !places[next]?.there;
    if (gathered.length > 0 && (exhausted || idle) && failure === undefined) send();
  };
  const abort = () => fail(signal!.reason);
  signal?.addEventListener('abort', abort);
  try {
    for (;;) {
      fill();
      if (failure !== undefined) throw failure.error;
      if (places[next]?.there) {
        const { value } = places[next]!;
        places[next++]!.value = undefined;
        held--;
        // Seldom: to move what is left costs as much as it is long.
        if (2 * next > places.length) {
          places = places.slice(next);
          next = 0;
        }
        // The workers go on while the consumer does.
        fill();
        yield value;
      } else if (exhausted && held === 0) {
        return;
      } else {
        await new Promise<void>((resolve) => (wake = resolve));
      }
    }
  } finally {
    over = true;
    signal?.removeEventListener('abort', abort);
    const closing = exhausted ? undefined : close(source);
    for (const job of jobs) job.cancel();
    // An error of ours goes before one of the source; and a source that is being read may never answer.
    if (failure === undefined && !reading) await closing;
    else closing?.catch(() => {});
  }
}

async function close(source: Iterator<unknown> | AsyncIterator<unknown>): Promise<void> {
  await source.return?.();
}
