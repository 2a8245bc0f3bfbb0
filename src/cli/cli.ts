import { Command, CommanderError } from 'commander';
import { VmtableError } from '../errors.js';
import { COMMANDS } from './commands/index.js';
import type { Io } from './io.js';

/** Usage errors share the exit status of unreadable input. */
const EXIT_USAGE = 2;

/**
 * Runs one command line (without `node` and the script's name) and returns the exit status: 0 done, 1 what was run failed,
 * 2 bad usage or input, 3 something unsupported is needed.
 */
export async function cli(argv: readonly string[], io: Io): Promise<number> {
  let status = 0;
  const program = new Command('vmtable')
    .description('Runs compiled BPF objects without a kernel, root or a compiler.')
    .helpCommand(false)
    .showSuggestionAfterError(false)
    .exitOverride()
    .configureOutput({ writeOut: io.out, writeErr: () => {} });
  for (const add of COMMANDS) {
    add(program, io, (code) => {
      status = code;
    });
  }
  try {
    await program.parseAsync(argv, { from: 'user' });
    return status;
  } catch (error) {
    if (error instanceof CommanderError) {
      if (error.exitCode === 0) return 0;
      const what = error.code === 'commander.help' ? 'a command is needed' : error.message.replace(/^error: /, '');
      io.err(`vmtable: ${oneLine(what)}; see vmtable --help\n`);
      return EXIT_USAGE;
    }
    if (!(error instanceof VmtableError)) throw error;
    io.err(`vmtable: ${[oneLine(error.message), ...(error.more ?? [])].join('\n')}\n`);
    return error.exitCode;
  }
}

function oneLine(text: string): string {
  return text.trim().replace(/\s*\n\s*/g, '; ');
}
