// Runs the rest of a long piece of work in a task of its own, so that the page stays smooth.

/** The longest that one task of ours may take, in ms. */
export const SLICE = 4;

const waiting: (() => void)[] = [];
let channel: MessageChannel | undefined;

/** Runs `work` in a later task, before timers. */
export function macrotask(work: () => void): void {
  // A message to oneself would come before timers and I/O there, however many there are.
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
