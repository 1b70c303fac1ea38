// An error that nobody catches.
import { Pool } from 'weirpool';

await Pool.create({ workers: 0 });
