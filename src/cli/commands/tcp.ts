import { InputError } from '../../errors.js';
import { formatTcp, runTcp, type TcpRunOptions } from '../../tcp/index.js';
import { type AddCommand, EXIT_UNSUPPORTED, inFileAsync, json } from '../command.js';
import { kernelOptions, type LoadOptions, userSpace, withLoadOptions } from '../kernel_input.js';
import { chooseObject } from '../object_input.js';

interface TcpOptions extends LoadOptions {
  map?: string;
  rate: string;
  rtt: string;
  queue?: string;
  mark?: string;
  loss?: string;
  drop?: string[];
  ecn?: boolean;
  seconds: string;
  seed?: string;
  json?: boolean;
}

const collect = (value: string, previous: string[] = []) => [...previous, value];

export const addTcpCommand: AddCommand = (program, io, exit) => {
  const command = program
    .command('tcp')
    .description('let one flow use a TCP congestion control algorithm over a bottleneck and show its window')
    .argument('<file>', 'BPF object with a tcp_congestion_ops map')
    .option('--map <name>', 'which algorithm, if the object has several')
    .option('--rate <mbit>', 'rate of the bottleneck, Mbit/s', '50')
    .option('--rtt <ms>', 'round trip without queueing, milliseconds', '40')
    .option('--queue <packets>', 'what waits before the bottleneck at most (default: what fills the path once)')
    .option('--mark <packets>', 'ECN: mark packets that meet so many waiting ones (default: never)')
    .option('--loss <share>', 'share of packets lost by chance, 0 to 1')
    .option('--drop <n>', 'lose the nth packet; repeatable', collect)
    .option('--ecn', 'both ends know ECN (default: if the algorithm needs it, or with --mark)')
    .option('--no-ecn', 'neither end knows ECN')
    .option('--seconds <s>', 'simulated time', '10')
    .option('--seed <n>', 'seed of --loss')
    .option('--json', 'one JSON document');
  withLoadOptions(command).action(async (file: string, options: TcpOptions) => {
    const bytes = chooseObject(io, file, options.object);
    const runOptions = pathOf(options);
    const result = await inFileAsync(file, async () =>
      runTcp(bytes, {
        ...runOptions,
        ...(await userSpace(io, file, options, (body) => body())),
        name: file.slice(file.lastIndexOf('/') + 1),
        kernel: await kernelOptions(io, options),
        ...(options.map !== undefined && { map: options.map }),
      }),
    );
    io.out(options.json ? json(result) : formatTcp(result, { width: io.width }));
    if (result.fault !== undefined) exit(result.unsupported ? EXIT_UNSUPPORTED : 1);
  });
};

function pathOf(options: TcpOptions): TcpRunOptions {
  const whole = (name: string, text: string) => number(name, text, /^\d+$/);
  const { queue, mark, loss, drop, ecn, seed } = options;
  return {
    rate: number('--rate', options.rate) * 1e6,
    rttNs: Math.round(number('--rtt', options.rtt) * 1e6),
    durationNs: Math.round(number('--seconds', options.seconds) * 1e9),
    ...(queue !== undefined && { queuePackets: whole('--queue', queue) }),
    ...(mark !== undefined && { markPackets: whole('--mark', mark) }),
    ...(loss !== undefined && { loss: number('--loss', loss) }),
    ...(drop !== undefined && { drops: drop.map((text) => whole('--drop', text)) }),
    ...(ecn !== undefined && { ecn }),
    ...(seed !== undefined && { seed: whole('--seed', seed) }),
  };
}

function number(name: string, text: string, form = /^(\d+\.?\d*|\.\d+)$/): number {
  if (!form.test(text) || !Number.isFinite(Number(text))) throw new InputError(`${name} wants a number, not "${text}"`);
  return Number(text);
}
