// Has a job of a name that own-jobs.js has.
export const upper = (text) => text;
