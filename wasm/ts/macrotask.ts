// Runs the rest of a long piece of work in a task of its own, so that the page stays smooth.

/** The longest that one task of ours may take, in ms. */
export const SLICE = 4;

const waiting: (() => void)[] = [];
let channel: MessageChannel | undefined;

/** Runs `work` in a later task, before timers. */
export function macrotask(work: () => void): void {
  if (channel === undefined) {
    channel = new MessageChannel();
    channel.port1.onmessage = () => waiting.shift()?.();
    // In Node a port would keep the process alive.
    (channel.port1 as { unref?: () => void }).unref?.();
  }
  waiting.push(work);
  channel.port2.postMessage(0);
}

/** Resolves in a later task. */
export function nextTask(): Promise<void> {
  return new Promise((resolve) => macrotask(resolve));
}
