// `hold.js MODE [close]`: its last job holds the process; the pool does not, or only until it is closed.
import { Pool } from 'weirpool';

const [mode, close] = globalThis.Deno?.args ?? process.argv.slice(2);
const pool = await Pool.create({ mode, workers: 2 });
await pool.run('echo', 1);
// Idle, for once.
await new Promise((resolve) => setTimeout(resolve, 20));
pool.run('simulate', { duration: 100 }).then(() => console.log('the last job has ended'));
if (close) pool.close({ deadline: Infinity }).then(({ clean }) => console.log('closed', clean));
