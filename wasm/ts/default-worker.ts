// The worker of a pool that has no worker file of its own.

import { serve } from './worker.js';

serve({});
