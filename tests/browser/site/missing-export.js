// Asks a module for what it does not export.
export { missing } from './job-module.js';
