// The caller's jobs, from workers that take half a second to start.
import { serve } from '/weirpool/worker.js';
import { jobs } from './own-jobs.js';

for (const end = performance.now() + 500; performance.now() < end; );
serve(jobs);
