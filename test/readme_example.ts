import { readFile } from 'node:fs/promises';
import { Kernel, openObject, sim } from 'vmtable';

const kernel = await Kernel.create({ profile: '7.3', cpus: 4 });
const machine = new sim.Machine(kernel, { topology: '1n2l2c' }); // registers sched_ext, owns CPUs and tasks
const object = openObject(await readFile('samples/scx_fifo.bpf.o'));
object.variable('slice_ns').set(5_000_000); // `const volatile` in the source
object.load(kernel);
machine.spawn({ name: 'worker', copies: 6, steps: [sim.run(sim.ms(3)), sim.sleep(sim.us(500))], repeat: 10 });
const link = object.structOpsMap('fifo_ops').attach();
machine.run(sim.ms(100)); // less if all tasks are done
console.log(object.map('stats').lookup(0)); // per-CPU counters, decoded by BTF
console.log(machine.report().groups[0]?.wakeupLatencyNs); // { count, mean, p50, p90, p99, max }
link.destroy();
