import type { AddCommand } from '../command.js';
import { CONFORMANCE_USAGE, conformance } from '../conformance.js';

/** The protocol has its own way with arguments (an empty one is no memory), so they go through unread. */
export const addConformance: AddCommand = (program, io, exit) => {
  program
    .command('conformance')
    .description('the bpf_conformance plugin protocol: program as hex text on stdin, prints r0 in hex')
    .argument('[args...]')
    .helpOption(false)
    .allowUnknownOption()
    .configureHelp({ formatHelp: () => CONFORMANCE_USAGE })
    .action(async (args: string[]) => {
      const { stdout, stderr, status } = await conformance(args, () => new TextDecoder().decode(io.readStdin()));
      io.out(stdout);
      if (stderr) io.err(stderr);
      exit(status);
    });
};
