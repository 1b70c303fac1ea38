// Claims the name of a built-in job.
export const echo = (value) => value;
