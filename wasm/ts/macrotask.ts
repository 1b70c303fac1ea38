// Runs the rest of a long piece of work in a task of its own, so that the page stays smooth.

/** The longest that one task of ours may take, in ms. */
export const SLICE = 4;

const waiting: (() => void)[] = [];
let channel: MessageChannel | undefined;

/** Runs `work` in a later task: on a page before timers, in Node and Deno in turn with them. */
export function macrotask(work: () => void): void {
  // There messages to oneself would come before all timers and I/O, however many there are.
  if (typeof setImmediate === 'function') {
    setImmediate(work);
    return;
  }
  if (channel === undefined) {
    channel = new MessageChannel();
    channel.port1.onmessage = () => waiting.shift()?.();
  }
  waiting.push(work);
  channel.port2.postMessage(0);
}

/** Resolves in a later task. */
export function nextTask(): Promise<void> {
  return new Promise((resolve) => macrotask(resolve));
}
