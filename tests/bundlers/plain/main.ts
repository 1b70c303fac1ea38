import { use } from './page.ts';

// Two ways to bring one's own jobs without a bundler; the second needs no worker file.
if (location.hash === '#jobs') use({ jobs: [new URL('./my-jobs.js', import.meta.url)] });
else use({ createWorker: () => new Worker(new URL('./my-worker.js', import.meta.url), { type: 'module' }) });
