// A caller's own jobs: handlers of every behaviour that a pool must cope with.

class LimitError extends RangeError {
  name = 'LimitError';
  code = 'E_LIMIT';
  limit = 5;
}

export const jobs = {
  upper: (text) => text.toUpperCase(),
  reverse: (bytes) => bytes.slice().reverse(),
  sum: ({ numbers }) => ({ sum: numbers.reduce((a, b) => a + b, 0) }),
  nothing: () => undefined,
  same: (value) => value,
  kind: (value) => (value instanceof Uint8Array ? 'bytes' : value === null ? 'null' : typeof value),
  large: (length) => new Uint8Array(length).fill(7),
  scribble(bytes) {
    bytes.fill(0);
    return bytes.length;
  },

  fails() {
    throw new LimitError('too much');
  },
  throwsText() {
    throw 'only text';
  },
  throwsNothing() {
    throw undefined;
  },
  throwsHostile() {
    const error = new Error('hostile');
    Object.defineProperty(error, 'bad', { enumerable: true, get: () => { throw new Error('getter'); } });
    error.loop = error;
    error.big = 1n;
    throw error;
  },
  exhausts() {
    const deeper = (n) => deeper(n + 1) + 1;
    return deeper(0);
  },

  /** Takes so many ms, whatever anybody says. */
  busy(ms) {
    const end = performance.now() + ms;
    while (performance.now() < end);
    return 'done';
  },
  /** Ends as soon as it sees that nobody waits for it, and says so by a value of so many bytes. */
  yields(length, context) {
    while (!context.cancelled);
    return new Uint8Array(length);
  },

  later: () => Promise.resolve(1),
  laterFails: () => Promise.reject(new Error('lost')),
  func: () => () => 1,
  nested: () => ({ map: new Map() }),
  failsDeeply() {
    throw new Error('outer', { cause: new RangeError('inner') });
  },
  failsOddly() {
    throw Object.assign(new LimitError('odd'), { headers: new Map([['a', 1]]), inner: new Error('inner'), bytes: new Uint8Array(2) });
  },
  self() {
    return this === undefined || this === null;
  },
  throwsObject() {
    throw { code: 'E_OBJECT', retryable: true, limit: 5 };
  },
  blob: () => new Blob(['text']),
  hostile: () => ({ toJSON() { throw new Error('hostile'); } }),
  big: () => 1n,
  cycle() {
    const value = {};
    value.self = value;
    return value;
  },

  // Runs until it is told to stop, and says so by returning.
  untilCancelled(_, context) {
    while (!context.cancelled);
    return 'stopped';
  },
  // Runs on whatever it is told: only a kill ends it.
  forever() {
    for (;;);
  },
  context: (_, context) => ({ cancelled: context.cancelled, remaining: context.remaining, attempt: context.attempt }),

  // Fails until its attempt has come, by an error with these fields or, without any, by one that is no error.
  onAttempt(input, { attempt }) {
    if (attempt < input.attempt) throw input.error === undefined ? 'no' : Object.assign(new Error(`attempt ${attempt}`), input.error);
    return { ...input, attempt };
  },
  // The first attempt takes until it is told to stop, or for ever.
  slowFirst(deaf, context) {
    while (context.attempt === 1 && (deaf || !context.cancelled));
    if (context.cancelled) throw new Error('too slow');
    return context.attempt;
  },
  // The first attempt fails, another takes until it is told to stop.
  slowSecond(_, context) {
    if (context.attempt === 1) throw new Error('no');
    while (!context.cancelled);
  },
  // Reports its progress, step by step; the page has time to see it.
  steps(count, context) {
    for (let i = 1; i <= count; i++) {
      context.progress(i, count);
      for (const end = performance.now() + 40; performance.now() < end;);
    }
    return count;
  },
  async stepsLater(count, context) {
    for (let i = 1; i <= count; i++) {
      context.progress(i, count);
      await new Promise((resolve) => setTimeout(resolve, 40));
    }
    return count;
  },

  // Asynchronous: until it is told to stop.
  async hold(_, context) {
    while (!context.cancelled) await new Promise((resolve) => setTimeout(resolve, 1));
    return 'stopped';
  },
  sleep: (ms) => new Promise((resolve) => setTimeout(resolve, ms)),
  // Brings its worker down.
  throwsLater: () => new Promise(() => setTimeout(() => { throw new Error('too late'); })),
  // Asynchronous, and deaf to its cancellation.
  never: () => new Promise(() => {}),

  // No jobs: what a bundler's namespace of a module may hold beside them.
  default: () => 'default',
  version: '1.0',
  settings: { upper: true },
  missing: undefined,
};
