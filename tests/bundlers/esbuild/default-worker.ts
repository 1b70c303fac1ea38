// esbuild does not follow the package's own worker URL: this is that worker, as an entry point of the project.
import { serve } from 'weirpool/worker';

serve({});
