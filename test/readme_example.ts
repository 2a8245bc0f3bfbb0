import { readFile } from 'node:fs/promises';
import { Kernel, openObject, schedExt } from 'vmtable';

const kernel = await Kernel.create({ profile: '7.3', cpus: 4 });
const machine = new schedExt.Machine(kernel); // registers sched_ext and owns CPUs and tasks
const object = openObject(await readFile('samples/scx_fifo.bpf.o'));
object.variable('slice_ns').set(5_000_000); // `const volatile` in the source
object.load(kernel);
machine.spawn({ name: 'worker', steps: [{ run: 3_000_000 }, { sleep: 1_000_000 }], repeat: 10 });
const link = object.structOpsMap('fifo_ops').attach();
machine.run(100_000_000); // at most 100 simulated ms
console.log(object.map('stats').lookup(0)); // per-CPU counters, decoded by BTF
link.destroy();
