// A pool that is resized, and nothing else.
import { Pool } from 'weirpool';

const pool = await Pool.create({ mode: process.argv[2], workers: 3 });
await pool.resize(1);
console.log(pool.stats().workers.length);
await pool.resize(2);
console.log(pool.stats().limit);
