import { CALL_HELPER, CALL_KFUNC, CALL_SUBPROG, OP_CALL, OP_CALLX } from '../../assembly/isa.js';
import { assemble, decodeInsn, disassemble, encodeInsn, isWide } from '../asm/index.js';
import { ElfFile, type ElfSection } from '../elf/index.js';
import { InputError, UnsupportedError, VmtableError } from '../errors.js';
import { parseObject } from '../object/index.js';
import { type CallTarget, DEFAULT_ENGINE, ENGINE_NAMES, type EngineName, type HostFn } from '../vm/types.js';
import { Vm } from '../vm/vm.js';
import { oneOf, unhex } from './command.js';

// The plugin protocol of https://github.com/Alan-Jowett/bpf_conformance, as its README lays it down and the plugins of
// ubpf, rbpf and libbpf have it: the program comes as hex text, r1 is the memory (NULL if there is none), r2 its length,
// r0 leaves as hex text. Helpers 0 to 5 are those of ubpf's plugin (ubpf_plugin/test_helpers.h).

export const CONFORMANCE_USAGE = `Usage: vmtable conformance [MEM_HEX] [options] < PROGRAM_HEX

Runs one program by the bpf_conformance plugin protocol and prints r0 in hex.

  MEM_HEX            memory as hex bytes; r1 is its address and r2 its length, both 0 without it
  --program HEX      the program, instead of standard input
  --elf              the program is an ELF object, as hex text too
  --engine NAME      interp, jit or auto (default); --interpret and --jit are the first two
  --debug            on failure, show the program too
`;

export interface ConformanceResult {
  stdout: string;
  stderr: string;
  /** 0: r0 is on stdout. Else the reason is on stderr: 1 the program failed, 2 bad input, 3 something unsupported. */
  status: number;
}

interface Options {
  memory: Uint8Array;
  /** Hex text; standard input if it is not there. */
  program: string | undefined;
  elf: boolean;
  engine: EngineName;
  debug: boolean;
  help: boolean;
}

/** Back-edges and calls until a program counts as endless. */
const FUEL = 100_000_000;
const WINDOW_BYTES = 16 << 20;

/** @param stdin read only if argv does not carry the program */
export async function conformance(argv: readonly string[], stdin: () => string): Promise<ConformanceResult> {
  let shown = '';
  try {
    const options = parse(argv);
    if (options.help) return { stdout: CONFORMANCE_USAGE, stderr: '', status: 0 };
    const bytes = unhex(options.program ?? stdin(), 'the program');
    const insns = options.elf ? elfProgram(bytes) : bytes;
    if (options.debug) shown = listing(insns);
    const r0 = await run(insns, options);
    return { stdout: `${r0.toString(16)}\n`, stderr: '', status: 0 };
  } catch (error) {
    if (!(error instanceof VmtableError)) throw error;
    return { stdout: '', stderr: `${error.message.replace(/\s*\n\s*/g, '; ')}\n${shown}`, status: error.exitCode };
  }
}

function parse(argv: readonly string[]): Options {
  const options: Options = {
    memory: new Uint8Array(0),
    program: undefined,
    elf: false,
    engine: DEFAULT_ENGINE,
    debug: false,
    help: false,
  };
  let positional = 0;
  for (let i = 0; i < argv.length; i++) {
    const [, flag = argv[i] ?? '', inline] = /^(--[^=]+)=(.*)$/s.exec(argv[i] ?? '') ?? [];
    const value = () => {
      const given = inline ?? argv[++i];
      if (given === undefined) throw new InputError(`${flag} wants a value`);
      return given;
    };
    switch (flag) {
      case '--program':
        options.program = value();
        break;
      case '--elf':
        options.elf = true;
        break;
      case '--engine':
        options.engine = oneOf('--engine', value(), ENGINE_NAMES);
        break;
      case '--interpret':
        options.engine = 'interp';
        break;
      case '--jit':
        options.engine = 'jit';
        break;
      case '--debug':
        options.debug = true;
        break;
      case '--help':
      case '-h':
        options.help = true;
        break;
      default:
        if (flag.startsWith('-') || (positional++ > 0 && flag !== ''))
          throw new InputError(`unexpected argument "${flag}"`);
        if (flag !== '') options.memory = unhex(flag, 'the memory argument');
    }
  }
  return options;
}

/** Thrown by helper 5 to end the program at once with r0 = 0. */
class Unwind extends VmtableError {}

const HELPERS: readonly { name: string; fn: HostFn }[] = [
  {
    name: 'gather_bytes',
    fn: (call) => call.retU64([0, 1, 2, 3, 4].reduce((sum, i) => (sum << 8n) | BigInt(call.lo(i) & 0xff), 0n)),
  },
  {
    name: 'memfrob',
    fn: (call) => {
      const bytes = call.u64n(1);
      const at = bytes === 0 ? 0 : call.mem(0, bytes, true);
      for (let i = 0; i < bytes; i++) call.memory.setU8(at + i, call.memory.u8(at + i) ^ 42);
      call.ret(0);
    },
  },
  { name: 'no_op', fn: (call) => call.ret(0) },
  { name: 'sqrti', fn: (call) => call.retU64(BigInt(Math.trunc(Math.sqrt(Number(call.u64(0)))))) },
  {
    name: 'strcmp_ext',
    fn: (call) => {
      for (let i = 0; ; i++) {
        const a = call.memory.u8(call.mem(0, i + 1, false) + i);
        const b = call.memory.u8(call.mem(1, i + 1, false) + i);
        if (a === b && a !== 0) continue;
        call.ret(a - b);
        return;
      }
    },
  },
  {
    // ubpf_set_unwind_function_index: the program ends if this function returns 0, and goes on otherwise.
    name: 'unwind',
    fn: (call) => {
      if (call.u64(0) === 0n) throw new Unwind('unwind');
      call.retU64(call.u64(0));
    },
  },
];

async function run(program: Uint8Array, { memory, engine }: Options): Promise<bigint> {
  const vm = await Vm.create({ windowBytes: WINDOW_BYTES, fuel: FUEL });
  try {
    const indexes = HELPERS.map(({ name, fn }) => vm.registerHost(name, fn));
    const insns = callHelpersByRegister(program);
    const prog = vm.loadProg({
      name: 'main',
      insns,
      calls: targets(insns, indexes),
      checks: 'object',
      faults: 'strict',
      engine,
    });
    let at = 0n;
    if (memory.length > 0) {
      const ptr = vm.memory.alloc(memory.length, { name: 'the memory argument' });
      for (const [i, byte] of memory.entries()) vm.memory.setU8(ptr + i, byte);
      at = vm.memory.address(ptr);
    }
    const { r0, fault } = vm.run(prog, { args: [at, BigInt(memory.length)] });
    if (!fault) return r0;
    if (fault.error instanceof Unwind) return 0n;
    throw fault.error instanceof VmtableError ? fault.error : new VmtableError(`insn ${fault.insn}: ${fault.message}`);
  } finally {
    vm.dispose();
  }
}

function targets(insns: Uint8Array, helpers: readonly number[]): Map<number, CallTarget> {
  const calls = new Map<number, CallTarget>();
  for (const [i, { op, src, imm }] of instructions(insns)) {
    if (op !== OP_CALL) continue;
    const index = src === CALL_HELPER ? helpers[imm] : undefined;
    if (index !== undefined) calls.set(i, { kind: 'host', index });
    else if (src === CALL_HELPER) calls.set(i, { kind: 'missing', name: `helper ${imm}` });
    else if (src === CALL_KFUNC) calls.set(i, { kind: 'missing', name: `kfunc ${imm}` });
  }
  return calls;
}

function* instructions(insns: Uint8Array): Generator<[number, ReturnType<typeof decodeInsn>]> {
  for (let i = 0; i < Math.floor(insns.length / 8); i++) {
    const insn = decodeInsn(insns, i * 8);
    yield [i, insn];
    if (isWide(insn.op)) i++;
  }
}

/**
 * The suite's callx takes the number of a helper; in the kernel it takes a code pointer. Every callx becomes a call of a
 * function of its register, put behind the program, that tells the two apart; it costs a frame.
 */
function callHelpersByRegister(program: Uint8Array): Uint8Array {
  const places = [...instructions(program)].filter(
    ([, insn]) => insn.op === OP_CALLX && !insn.src && !insn.off && !insn.imm,
  );
  if (places.length === 0 || program.length % 8 !== 0) return program;
  const registers = [...new Set(places.map(([, insn]) => insn.dst))];
  const text = registers.map((reg) => {
    const tests = HELPERS.map((_, id) => `if r${reg} == ${id} goto r${reg}_${id}`);
    const calls = HELPERS.map((_, id) => `r${reg}_${id}: call ${id}; exit`);
    return [...tests, `callx r${reg}; exit`, ...calls].join('\n');
  });
  const functions = text.map(assemble);
  const starts = new Map<number, number>();
  let end = program.length / 8;
  for (const [k, code] of functions.entries()) {
    starts.set(registers[k] ?? 0, end);
    end += code.length / 8;
  }
  const linked = new Uint8Array(end * 8);
  linked.set(program);
  for (const [k, code] of functions.entries()) linked.set(code, (starts.get(registers[k] ?? 0) ?? 0) * 8);
  for (const [i, { dst }] of places) {
    const imm = (starts.get(dst) ?? 0) - i - 1;
    encodeInsn({ op: OP_CALL, dst: 0, src: CALL_SUBPROG, off: 0, imm }, linked, i * 8);
  }
  return linked;
}

/** The section of `main`, or the first with code: what the suite puts into an object (src/bpf_writer.cc). */
function elfProgram(bytes: Uint8Array): Uint8Array {
  const elf = new ElfFile(bytes);
  const code = elf.sections.filter((section) => section.executable && section.size > 0);
  const main = elf.symbols.find(
    (symbol) => symbol.name === 'main' && code.some(({ index }) => index === symbol.section),
  );
  const section = code.find(({ index }) => index === main?.section) ?? code[0];
  if (!section) throw new InputError('no section has code');
  if (main && main.value !== 0) throw new UnsupportedError(`section "${section.name}": main is not at its start`);
  needsLoader(elf, section);
  return section.data;
}

/** Only what the bare instructions say can run here: no map, extern, or kernel type. */
function needsLoader(elf: ElfFile, section: ElfSection): void {
  const refuse = (what: string): never => {
    throw new UnsupportedError(`section "${section.name}": ${what}; use vmtable run`);
  };
  const relocations = elf.sections.find(({ type, info }) => type === 'rel' && info === section.index);
  const first = relocations && elf.relocations(relocations)[0];
  if (first) refuse(`"${first.symbol.name}" is to be relocated`);
  if (!elf.section('.BTF.ext')) return;
  const { programs, subprograms } = parseObject(elf.bytes);
  const coRe = [...programs, ...subprograms].find((code) => code.section === section.name && code.coRe.length > 0);
  if (coRe) refuse(`"${coRe.name}" has CO-RE relocations`);
}

function listing(insns: Uint8Array): string {
  const lines = disassemble(insns).map(({ pc, text }) => `${String(pc).padStart(6)}: ${text}\n`);
  return lines.join('');
}
