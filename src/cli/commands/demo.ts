import { demoFailed, formatDemo, runSchedExtDemo } from '../../sched_ext/index.js';
import { type AddCommand, inFileAsync, json } from '../command.js';
import { kernelOptions, type LoadOptions, settings, withLoadOptions } from '../kernel_input.js';
import { chooseObject } from '../object_input.js';

interface DemoOptions extends LoadOptions {
  map?: string;
  json?: boolean;
}

export const addDemo: AddCommand = (program, io, exit) => {
  const command = program
    .command('demo')
    .description('run a handful of tasks on four CPUs under a sched_ext scheduler and show what happened')
    .argument('<file>', 'BPF object with a sched_ext_ops map')
    .option('--map <name>', 'which scheduler, if the object has several')
    .option('--json', 'one JSON document');
  withLoadOptions(command).action(async (file: string, options: DemoOptions) => {
    const bytes = chooseObject(io, file, options.object);
    const result = await inFileAsync(file, async () =>
      runSchedExtDemo(bytes, {
        name: file.slice(file.lastIndexOf('/') + 1),
        kernel: await kernelOptions(io, options),
        set: Object.fromEntries(settings(options)),
        ...(options.map !== undefined && { map: options.map }),
      }),
    );
    io.out(options.json ? json(result) : formatDemo(result, { color: io.colour, width: io.width }));
    if (demoFailed(result)) exit(1);
  });
};
