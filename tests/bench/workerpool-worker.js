import workerpool from 'workerpool/dist/workerpool.js';

workerpool.worker({ echo: (input) => input });
