import { readFileSync } from 'node:fs';
import { type Costs, DEFAULT_COSTS } from '../../src/sim/index.js';

export const fifo = new Uint8Array(readFileSync(new URL('../../samples/scx_fifo.bpf.o', import.meta.url)));

/** A file of the fixtures. */
export const sampleFile = (name: string): URL => new URL(`./fixtures/${name}`, import.meta.url);

/** A machine on which nothing costs time but what tasks run. */
export const FREE = Object.fromEntries(Object.keys(DEFAULT_COSTS).map((cost) => [cost, 0])) as unknown as Costs;
