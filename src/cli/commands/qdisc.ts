import { InputError } from '../../errors.js';
import { formatQdisc, type PacketFlow, runQdisc } from '../../qdisc/index.js';
import { type AddCommand, EXIT_UNSUPPORTED, inFileAsync, json } from '../command.js';
import { kernelOptions, type LoadOptions, userSpace, withLoadOptions } from '../kernel_input.js';
import { chooseObject } from '../object_input.js';

interface QdiscCommandOptions extends LoadOptions {
  map?: string;
  rate: string;
  flow?: string[];
  seconds: string;
  json?: boolean;
}

const collect = (value: string, previous: string[] = []) => [...previous, value];

export const addQdiscCommand: AddCommand = (program, io, exit) => {
  const command = program
    .command('qdisc')
    .description('send packets through a queueing discipline and show what becomes of each flow')
    .argument('<file>', 'BPF object with a Qdisc_ops map')
    .option('--map <name>', 'which discipline, if the object has several')
    .option('--rate <mbit>', 'rate of the link, Mbit/s', '10')
    .option(
      '--flow <name:key=value,…>',
      'a source of packets: rate (Mbit/s), bytes, burst, priority; repeatable (default: four that overload the link)',
      collect,
    )
    .option('--seconds <s>', 'simulated time', '1')
    .option('--json', 'one JSON document');
  withLoadOptions(command).action(async (file: string, options: QdiscCommandOptions) => {
    const bytes = chooseObject(io, file, options.object);
    const flows = options.flow?.map(flowOf);
    const rate = number('--rate', options.rate) * 1e6;
    const durationNs = Math.round(number('--seconds', options.seconds) * 1e9);
    const result = await inFileAsync(file, async () =>
      runQdisc(bytes, {
        name: file.slice(file.lastIndexOf('/') + 1),
        kernel: await kernelOptions(io, options),
        ...(await userSpace(io, file, options, (body) => body())),
        rate,
        durationNs,
        ...(flows && { flows }),
        ...(options.map !== undefined && { map: options.map }),
      }),
    );
    io.out(options.json ? json(result) : formatQdisc(result, { width: io.width }));
    if (result.fault !== undefined) exit(result.unsupported ? EXIT_UNSUPPORTED : 1);
  });
};

/** `voice:rate=0.1,bytes=200` */
function flowOf(text: string): PacketFlow {
  const [name = '', rest = ''] = text.split(/:(.*)/s);
  const flow: PacketFlow = { name, rate: 1e6 };
  for (const pair of rest === '' ? [] : rest.split(',')) {
    const [key = '', value = ''] = pair.split('=');
    const amount = number(`--flow ${name}: ${key}`, value);
    if (key === 'rate') flow.rate = amount * 1e6;
    else if (key === 'bytes' || key === 'burst' || key === 'priority') flow[key] = Math.round(amount);
    else throw new InputError(`--flow ${name}: "${key}" is none of rate, bytes, burst, priority`);
  }
  if (name === '') throw new InputError(`--flow wants a name, not "${text}"`);
  return flow;
}

function number(name: string, text: string): number {
  if (!/^(\d+\.?\d*|\.\d+)$/.test(text)) throw new InputError(`${name} wants a number, not "${text}"`);
  return Number(text);
}
