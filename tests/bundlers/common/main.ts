// For the bundlers that follow `new URL(…, import.meta.url)`: nothing else is to be said.
import { use } from './page.ts';

use({ createWorker: () => new Worker(new URL('./my-worker.ts', import.meta.url), { type: 'module' }) });
