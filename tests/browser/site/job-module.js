// Handlers of a page without a bundler, named by the pool's `jobs` option.
import { serve } from '/weirpool/worker.js';
serve({ triple: (n) => n * 3 });
