// A worker's work in isolated mode: it has a memory of its own, and gets its jobs by message.

import type { Handler } from './handlers.ts';
import { say, type ToWorker } from './messages.ts';
import { port } from './node.ts';
import { OrderContext, Performer } from './perform.ts';
import { FRAME } from './progress.ts';
import * as glue from './wasm.js';

export function enterIsolated(worker: number, handlers: ReadonlyMap<string, Handler>): void {
  glue.enter_page(performance.timeOrigin);
  const performer = new Performer([...handlers.values()], true);
  const running = new Map<number, OrderContext>();
  port.addEventListener('message', ({ data }: MessageEvent<ToWorker | null>) => {
    if (data?.weirpool === 'cancel') {
      const context = running.get(data.token);
      if (context !== undefined) context.stopped = true;
    } else if (data?.weirpool === 'watch') {
      const context = running.get(data.token);
      if (context !== undefined) context.watched = true;
    } else if (data?.weirpool === 'job') {
      const { token } = data;
      let last = -Infinity;
      const context = new OrderContext(data, data.watched, (done, total) => {
        const time = performance.now();
        if (time - last < FRAME) return;
        last = time;
        say({ weirpool: 'progress', worker, token, done, total });
      });
      running.set(token, context);
      performer.perform(data, context).then(
        (answer) => {
          running.delete(token);
          say({ weirpool: 'done', worker, token, ...answer }, [answer.bytes.buffer]);
        },
        (error: unknown) => say({ weirpool: 'trap', worker, token, message: String(error) }),
      );
    }
  });
  say({ weirpool: 'ready', worker, handlers: [...handlers.keys()] });
}
