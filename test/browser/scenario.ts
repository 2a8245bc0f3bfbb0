import { disassemble, Kernel, openObject, parseObject, sim } from 'vmtable';

/** Loads samples and dispatches callbacks; what it returns must be the same wherever it runs. */
export async function scenario(sample: (name: string) => Promise<Uint8Array>): Promise<Record<string, unknown>> {
  const fifo = await sample('scx_fifo.bpf.o');
  const report = await sim.simulate(fifo, { name: 'scx_fifo', durationNs: sim.ms(300) });
  return {
    parse: summary(fifo),
    'a simulated machine': report,
    syscall: await runSetup(await sample('setup.bpf.o')),
    'a malformed object': attempt(() => parseObject(fifo.subarray(0, 1000))),
  };
}

function summary(bytes: Uint8Array) {
  const spec = parseObject(bytes, { name: 'scx_fifo' });
  return {
    programs: spec.programs.map((prog) => [prog.name, disassemble(prog.insns).map(({ text }) => text)]),
    maps: spec.maps.map((map) => [map.name, map.type, map.valueSize]),
    types: spec.btf?.typeCount,
  };
}

async function runSetup(bytes: Uint8Array) {
  const kernel = await Kernel.create({ profile: '6.12' });
  try {
    const object = openObject(bytes, { name: 'setup' });
    object.load(kernel);
    const request = new Uint8Array(16);
    new DataView(request.buffer).setUint32(0, 3, true);
    new DataView(request.buffer).setUint32(4, 5, true);
    const { retval, ctx } = object.program('fill_squares').testRun({ ctx: request });
    const squares = Array.from(object.map('squares').entries(), ([key, value]) => `${key}: ${value}`);
    const fault = attempt(() => object.program('fill_squares').testRun({ ctx: new Uint8Array(3) }));
    object.close();
    return { retval, ctx: [...(ctx ?? [])], squares, output: kernel.trace, fault };
  } finally {
    kernel.dispose();
  }
}

function attempt(body: () => unknown): string {
  try {
    return `no error: ${body()}`;
  } catch (error) {
    return (error as Error).message;
  }
}
