import { serve } from 'weirpool/worker';
import * as jobs from './my-jobs.js';

serve(jobs);
