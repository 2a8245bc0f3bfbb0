import type { AddCommand } from '../command.js';
import { conformance } from '../conformance.js';

export const addConformance: AddCommand = (program, io, exit) => {
  program
    .command('conformance')
    .description('the bpf_conformance plugin protocol: program as hex text on stdin, prints r0 in hex')
    .argument('[mem]', 'memory as hex text; r1 points to it, r2 is its length')
    .option('--engine <name>', 'interp or jit', 'interp')
    .option('--elf', 'standard input is an ELF object instead of hex text')
    .action(() => exit(0));
};
