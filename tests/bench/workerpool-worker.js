import workerpool from 'workerpool';

workerpool.worker({ echo: (input) => input });
