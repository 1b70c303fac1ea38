// Import maps do not reach workers: the package by its path.
import { serve } from './node_modules/weirpool/worker.js';
import * as jobs from './my-jobs.ts';

serve(jobs);
