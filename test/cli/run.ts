import { cli } from '../../src/cli/cli.js';
import type { Io } from '../../src/cli/io.js';
import { nodeIo } from '../../src/cli/node_io.js';

/** Runs a command line in this process, without colours; stdin is empty unless `io` says otherwise. */
export async function runCli(argv: readonly string[], io: Partial<Io> = {}) {
  let out = '';
  let err = '';
  const status = await cli(argv, {
    ...nodeIo,
    readStdin: () => new Uint8Array(0),
    out: (text) => {
      out += text;
    },
    err: (text) => {
      err += text;
    },
    colour: false,
    width: 100,
    ...io,
  });
  return { status, out, err };
}

/** Standard input that holds a text. */
export const stdin = (text: string): Partial<Io> => ({ readStdin: () => new TextEncoder().encode(text) });
