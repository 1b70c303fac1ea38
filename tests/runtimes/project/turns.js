// Jobs inline leave the process its turns: a timer's abort comes before the last of them.
import { Pool } from 'weirpool';

const pool = await Pool.create({ mode: 'inline' });
const user = new AbortController();
const jobs = Array.from({ length: 100 }, () => pool.run('simulate', { duration: 5 }, { signal: user.signal }));
setTimeout(() => user.abort('enough'), 20);
const ends = await Promise.allSettled(jobs);
await pool.close();
console.log(ends.filter(({ status }) => status === 'fulfilled').length < 100, ends.at(-1).reason);
