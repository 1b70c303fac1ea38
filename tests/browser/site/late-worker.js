// Workers that are held up between saying that they run and entering their pool, as a busy machine may do to any.
import { serve } from '/weirpool/worker.js';

const { postMessage } = self;
self.postMessage = (message, transfer) => {
  postMessage.call(self, message, transfer);
  for (const end = performance.now() + 100; message.weirpool === 'ready' && performance.now() < end; );
};

serve({});
