// A caller's own worker file.
import { serve } from '/weirpool/worker.js';
import { jobs } from './own-jobs.js';

serve(jobs);
