import { afterAll, describe, expect, it } from 'vitest';
import { assemble, decodeInsn, disassemble, isWide } from '../../src/asm/index.js';
import type { CheckStrength } from '../../src/vm/types.js';
import { Vm } from '../../src/vm/vm.js';
import { CHECKS, ENGINES } from '../engines.js';
import { ENCODINGS, encodingOf } from './encodings.js';
import {
  type Features,
  forVm,
  generate,
  memoryOf,
  PACKET_BYTES,
  type Program,
  render,
  renderSteps,
  smaller,
  VALUE_BYTES,
} from './generate.js';
import { type Answer, hex, type Job, Kernel } from './kernel.js';

// The same programs in this machine's kernel and in our engines: r0, packet and map value must be equal afterwards.
// VMTABLE_PROGRAMS says how many, VMTABLE_SEED with which seed they begin.

const PROGRAMS = Number(process.env.VMTABLE_PROGRAMS ?? 5000);
const SEED = Number(process.env.VMTABLE_SEED ?? 1);
const BATCH = 500;

/** What XDP programs cannot have, or the verifier refuses, or a kernel may lack (Features). */
const NOT_GENERATED =
  /^(?:ADDR_SPACE_CAST|JA X|CALL HELPER|CALL KFUNC|CALLX|LD_IMM64 (?!NONE|MAP_VALUE).*|LD (?:ABS|IND) .*|MAY_GOTO|LOAD_ACQ .*|STORE_REL .*)$/;

/** What programs take turns at: the interpreter is compiled once for each. */
interface Variant {
  checks: CheckStrength;
  countInsns: boolean;
}
const VARIANTS: readonly Variant[] = [false, true].flatMap((countInsns) =>
  CHECKS.map((checks) => ({ checks, countInsns })),
);

const kernel = await Kernel.create(VALUE_BYTES);

describe.skipIf(typeof kernel === 'string')('the same as in the kernel', () => {
  if (typeof kernel === 'string') return;
  afterAll(() => kernel.dispose());

  it.each(ENGINES)(`%s, ${PROGRAMS} programs`, { timeout: 300_000 }, async (engine) => {
    const features = await featuresOf(kernel);
    const ours = await Ours.create(engine);
    const forms = new Set<string>();
    const refused: string[] = [];
    let equal = 0;
    for (let seed = SEED; equal < PROGRAMS; ) {
      const programs = Array.from({ length: Math.min(BATCH, PROGRAMS - equal) }, () => generate(seed++, features));
      const jobs = programs.map(jobOf);
      const theirs = kernel.run(jobs); // runs beside ours
      const results = jobs.map((job, i) => ours.run(job, VARIANTS[i % VARIANTS.length]!));
      for (const [i, answer] of (await theirs).entries()) {
        const program = programs[i] as Program;
        if ('refused' in answer) {
          refused.push(`seed ${program.seed}: ${answer.refused}`);
          continue;
        }
        const result = results[i] as Answer | Fault;
        if (difference(answer, result)) throw new Error(await explain(kernel, ours, program));
        for (const form of formsOf((jobs[i] as Job).insns)) forms.add(form);
        equal++;
      }
      // A generator that the verifier mostly refuses tests nothing.
      expect(refused.length, `refused by the verifier:\n${refused.slice(0, 10).join('\n')}`).toBeLessThan(
        PROGRAMS / 20 + 10,
      );
    }
    ours.dispose();
    const missing = ENCODINGS.map((each) => each.name).filter((name) => !forms.has(name) && !NOT_GENERATED.test(name));
    if (PROGRAMS >= 5000) expect(missing).toEqual([]);
  });
});

if (typeof kernel === 'string') {
  it.skip(`the same as in the kernel: not compared, because ${kernel}`, () => {});
  console.warn(`Programs were not compared with this machine's kernel: ${kernel}`);
}

async function featuresOf(kernel: Kernel): Promise<Features> {
  const probe = async (text: string) => {
    const none = { packet: new Uint8Array(PACKET_BYTES), value: new Uint8Array(VALUE_BYTES) };
    const [answer] = await kernel.run([{ insns: assemble(text), ...none }]);
    return answer !== undefined && !('refused' in answer);
  };
  return {
    ordered: await probe('*(u64 *)(r10 - 8) = 0; r0 = load_acquire((u64 *)(r10 - 8)); exit'),
    mayGoto: await probe('r0 = 0; may_goto +0; exit'),
  };
}

function jobOf(program: Program): Job {
  return { insns: assemble(render(program)), ...memoryOf(program) };
}

interface Fault {
  fault: string;
}

/** One VM with the packet, the map value and the context in its memory. */
class Ours {
  private constructor(
    private readonly vm: Vm,
    private readonly engine: (typeof ENGINES)[number],
    private readonly packet: number,
    private readonly value: number,
    private readonly context: number,
  ) {}

  static async create(engine: (typeof ENGINES)[number]): Promise<Ours> {
    const vm = await Vm.create({ windowBytes: 1 << 20 });
    const alloc = (bytes: number, name: string) => vm.memory.alloc(bytes, { name });
    const packet = alloc(PACKET_BYTES, 'packet');
    const value = alloc(VALUE_BYTES, 'map value');
    const context = alloc(16, 'context');
    vm.memory.setU64(context, vm.memory.address(packet));
    vm.memory.setU64(context + 8, vm.memory.address(packet + PACKET_BYTES));
    return new Ours(vm, engine, packet, value, context);
  }

  run(job: Job, { checks, countInsns }: Variant): Answer | Fault {
    const { vm, engine } = this;
    const insns = forVm(job.insns, vm.memory.address(this.value));
    const prog = vm.loadProg({ name: 'generated', insns, calls: new Map(), checks, faults: 'strict', engine });
    this.write(this.packet, job.packet);
    this.write(this.value, job.value);
    const { r0, fault } = vm.run(prog, { args: [vm.memory.address(this.context)], fuel: 1_000_000, countInsns });
    prog.free();
    if (fault) return { fault: `insn ${fault.insn}: ${fault.message}` };
    return {
      r0: Number(r0 & 0xffffffffn),
      packet: hex(vm.memory.bytes(this.packet, PACKET_BYTES)),
      value: hex(vm.memory.bytes(this.value, VALUE_BYTES)),
    };
  }

  dispose(): void {
    this.vm.dispose();
  }

  private write(at: number, bytes: Uint8Array): void {
    const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
    for (let i = 0; i < bytes.length; i += 8) this.vm.memory.setU64(at + i, view.getBigUint64(i, true));
  }
}

/** What is not equal, in words; undefined if all is, or the kernel refused the program. */
function difference(theirs: Answer, ours: Answer | Fault): string | undefined {
  if ('refused' in theirs) return undefined;
  if ('fault' in ours) return `ours stopped: ${ours.fault}`;
  if ('refused' in ours) return `ours refused: ${ours.refused}`;
  if (theirs.r0 !== ours.r0) return `r0: kernel 0x${theirs.r0.toString(16)}, ours 0x${ours.r0.toString(16)}`;
  return differentBytes('packet', theirs.packet, ours.packet) ?? differentBytes('map value', theirs.value, ours.value);
}

function differentBytes(what: string, theirs: string, ours: string): string | undefined {
  if (theirs === ours) return undefined;
  const at =
    Array.from({ length: theirs.length / 2 }, (_, i) => i).find(
      (i) => theirs.slice(2 * i, 2 * i + 2) !== ours.slice(2 * i, 2 * i + 2),
    ) ?? 0;
  const shown = (bytes: string) => bytes.slice(2 * at, 2 * at + 16);
  return `${what} from byte ${at} on: kernel ${shown(theirs)}, ours ${shown(ours)}`;
}

/** Shrinks a program that differs and says how it does. */
async function explain(kernel: Kernel, ours: Ours, failing: Program): Promise<string> {
  let program = failing;
  let found = 'not reproduced';
  const compare = async (candidates: Program[]) => {
    const jobs = candidates.map(jobOf);
    const answers = await kernel.run(jobs);
    for (const variant of VARIANTS) {
      const i = jobs.findIndex((job, k) => difference(answers[k] as Answer, ours.run(job, variant)) !== undefined);
      if (i < 0) continue;
      found = `${variant.checks} checks, ${difference(answers[i] as Answer, ours.run(jobs[i] as Job, variant))}`;
      return candidates[i];
    }
    return undefined;
  };
  for (let next: Program | undefined = await compare([program]); next; next = await compare([...smaller(program)]))
    program = next;
  const listing = disassemble(jobOf(program).insns).map(({ pc, text }) => `${String(pc).padStart(5)}: ${text}`);
  return `seed ${failing.seed}: ${found}\n${renderSteps(program)}\n\nin full:\n${listing.join('\n')}`;
}

function formsOf(insns: Uint8Array): Set<string> {
  const forms = new Set<string>();
  for (let at = 0; at < insns.length; at += 8) {
    const insn = decodeInsn(insns, at);
    const encoding = encodingOf(insn);
    if (encoding) forms.add(encoding.name);
    if (isWide(insn.op)) at += 8;
  }
  return forms;
}
