// Deadline: waiting, but not for ever.

/** Resolves with `event`, or after so many ms. */
export function before(ms: number, event: Promise<void>): Promise<void> {
  return new Promise((resolve) => {
    const timer = setTimeout(resolve, ms);
    void event.then(() => {
      clearTimeout(timer);
      resolve();
    });
  });
}
