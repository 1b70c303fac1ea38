import wasm from 'weirpool/weirpool.wasm';
import { use } from './page.ts';

use(
  { createWorker: () => new Worker(new URL('./my-worker.js', import.meta.url), { type: 'module' }) },
  { wasmUrl: new URL(wasm, import.meta.url), workerUrl: new URL('./default-worker.js', import.meta.url) },
);
