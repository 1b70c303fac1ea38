// What it exports is no job: a default, and a class.
export default { upper: (text) => text.toUpperCase() };
export class Upper {}
