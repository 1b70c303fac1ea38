import { use } from './page.ts';

use({ createWorker: () => new Worker(new URL('./my-worker.js', import.meta.url), { type: 'module' }) });
