// What somebody does wrong at first, and what they read then.
import { Pool } from 'weirpool';

const said = async (make) => {
  try {
    return await make();
  } catch ({ name, code, message }) {
    return [code ?? name, message];
  }
};
const unknown = async (mode) => {
  const pool = await Pool.create({ mode, workers: 1 });
  const end = await said(() => pool.run('mine', 1));
  await pool.close();
  return end;
};
console.log(JSON.stringify({
  relative: await said(() => Pool.create({ workerUrl: './my-worker.js' })),
  unserved: await said(() => Pool.create({ workers: 1, workerUrl: new URL('./my-jobs.js', import.meta.url) })),
  missing: await said(() => Pool.create({ workers: 1, workerUrl: new URL('./nowhere.js', import.meta.url) })),
  made: await said(() => Pool.create({ workers: 1, createWorker: () => new Worker(new URL('./my-worker.js', import.meta.url)) })),
  threads: await unknown('threads'),
  inline: await unknown('inline'),
}));
