import { INSN_BYTES, OP_LD_IMM64, PSEUDO_BTF_ID } from '../../assembly/isa.js';
import { CoReResolver } from '../btf/core.js';
import type { BtfView } from '../btf/types.js';
import { VmtableError } from '../errors.js';
import { type ReadConstant, reachableInsns } from '../kernel/prog/reachable.js';
import type { Profile } from '../kernel/types.js';
import type { CodeReloc } from '../object/spec.js';
import { isConstant } from './create_maps.js';
import { resolveExterns } from './externs.js';
import { KernelTypes } from './kernel_types.js';
import { Linker } from './link.js';
import type { BpfMap } from './map.js';
import type { BpfObject } from './object.js';

/** A call that nothing keeps a program from getting to. */
export interface OpenCall {
  /** Name of the extern. */
  extern: string;
  program: string;
  /** Index of the call within its function, and that function's name. */
  insn: number;
  function: string;
  /** `file.bpf.c:34`, or undefined without line records. */
  place: string | undefined;
}

/** Constant sections get addresses of their own, so far apart that no offset leads from one to another. */
const STRIDE = 1n << 32n;
const FIRST = 1n << 48n;
/** What stands for the address of something that exists. */
const SOMEWHERE = 1n << 62n;

/**
 * Calls of weak kfuncs that a kernel lacks and that no check rules out: neither `bpf_ksym_exists()` of it nor of what is called
 * in its place, nor a CO-RE question, a constant of `.rodata` as it is set now, or a `__kconfig` variable. A kernel's verifier gets to
 * such a call and refuses the program; here it is stopped when it gets there. Programs that are not to be loaded, or cannot be
 * linked, are left out.
 */
export function openCalls(object: BpfObject, profile: Profile, modules: readonly BtfView[] = []): OpenCall[] {
  const { spec } = object;
  const types = new KernelTypes(profile.btf, () =>
    modules.map((btf, i) => ({ btf, fd: i + 1, name: `module ${i + 1}` })),
  );
  const { resolved } = resolveExterns(spec, profile, types);
  const missing = new Set(
    spec.externs.filter(({ kind, weak, name }) => kind === 'kfunc' && weak && !resolved.ksyms.has(name)).map(named),
  );
  if (missing.size === 0) return [];
  const linker = new Linker(spec, spec.btf && new CoReResolver(spec.btf, profile.btf, () => modules));
  const constants = new Constants(object.maps.filter(isConstant), resolved.kconfig);
  const calls: OpenCall[] = [];
  for (const program of object.programs) {
    const code = program.autoload ? attempt(() => linker.link(program.spec)) : undefined;
    if (!code) continue;
    const found: [insn: number, call: OpenCall][] = [];
    const { insns, poisoned } = code;
    const view = new DataView(insns.buffer, insns.byteOffset, insns.byteLength);
    for (const { spec: fn, start } of code.functions) {
      for (const reloc of fn.relocations) {
        const insn = start + reloc.insn;
        if (poisoned.has(insn)) continue;
        if (reloc.kind === 'extern' && reloc.call) {
          if (!missing.has(reloc.name)) continue;
          const line = fn.lines.findLast((candidate) => candidate.insn <= reloc.insn);
          const place = line && `${line.file.replace(/^.*\//, '')}:${line.line}`;
          found.push([insn, { extern: reloc.name, program: program.name, insn: reloc.insn, function: fn.name, place }]);
        } else if (insns[insn * INSN_BYTES] === OP_LD_IMM64) {
          fill(view, insn, loadedValue(reloc, missing, constants));
        }
      }
    }
    if (found.length === 0) continue;
    const reachable = reachableInsns(insns, constants.read);
    calls.push(...found.filter(([insn]) => reachable(insn)).map(([, call]) => call));
  }
  return calls;
}

function named({ name }: { name: string }): string {
  return name;
}

function attempt<T>(body: () => T): T | undefined {
  try {
    return body();
  } catch (error) {
    if (!(error instanceof VmtableError)) throw error;
    return undefined;
  }
}

/** What an LD_IMM64 will hold; undefined: nothing that is known. */
function loadedValue(
  reloc: CodeReloc,
  missing: ReadonlySet<string>,
  constants: Constants,
): bigint | 'code' | undefined {
  switch (reloc.kind) {
    case 'call':
    case 'func':
      return 'code';
    case 'data':
      return constants.address(reloc.map, reloc.offset);
    case 'extern':
      return missing.has(reloc.name) ? 0n : (constants.kconfig(reloc.name) ?? SOMEWHERE);
    default:
      return undefined;
  }
}

function fill(view: DataView, insn: number, value: bigint | 'code' | undefined): void {
  if (value === 'code') return;
  const at = insn * INSN_BYTES;
  const src = value === undefined ? PSEUDO_BTF_ID : 0;
  view.setUint8(at + 1, (view.getUint8(at + 1) & 0x0f) | (src << 4));
  view.setUint32(at + 4, Number(BigInt.asUintN(32, value ?? 0n)), true);
  view.setUint32(at + INSN_BYTES + 4, Number((value ?? 0n) >> 32n), true);
}

/** Global data that no program can change, at addresses made up for it. */
class Constants {
  readonly #images: Uint8Array[];

  constructor(
    private readonly maps: readonly BpfMap[],
    kconfig: readonly { offset: number; value: Uint8Array }[],
  ) {
    this.#images = maps.map((map) => {
      const image = new Uint8Array(map.image ?? []);
      if (map.spec.section === '.kconfig') for (const { offset, value } of kconfig) image.set(value, offset);
      return image;
    });
  }

  address(map: string, offset: number): bigint | undefined {
    const index = this.maps.findIndex(({ name }) => name === map);
    return index < 0 ? undefined : FIRST + BigInt(index) * STRIDE + BigInt(offset);
  }

  kconfig(name: string): bigint | undefined {
    const map = this.maps.find(({ spec }) => spec.section === '.kconfig');
    const variable = map?.spec.data?.variables.find((candidate) => candidate.name === name);
    return map && variable && this.address(map.name, variable.offset);
  }

  readonly read: ReadConstant = (address, bytes) => {
    const image = this.#images[Number((address - FIRST) / STRIDE)];
    const offset = Number((address - FIRST) % STRIDE);
    if (address < FIRST || !image || offset + bytes > image.length) return undefined;
    return image.subarray(offset, offset + bytes).reduceRight((value, byte) => (value << 8n) | BigInt(byte), 0n);
  };
}
