export { answer, fidelity } from './run.js';
export { fidelityTable } from './table.js';
