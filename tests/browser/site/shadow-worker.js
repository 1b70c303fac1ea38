// Claims the name of a built-in handler.
import { serve } from '/weirpool/worker.js';
serve({ echo: (value) => value });
