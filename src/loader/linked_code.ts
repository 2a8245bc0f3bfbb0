import { CALL_KFUNC, INSN_BYTES, OP_LD_IMM64, PSEUDO_BTF_ID } from '../../assembly/isa.js';
import { CoReResolver } from '../btf/core.js';
import type { BtfView } from '../btf/types.js';
import { VmtableError } from '../errors.js';
import { type ReadConstant, reachableInsns } from '../kernel/prog/reachable.js';
import type { Profile } from '../kernel/types.js';
import type { CodeReloc } from '../object/spec.js';
import { isConstant } from './create_maps.js';
import { resolveExterns } from './externs.js';
import { KernelTypes } from './kernel_types.js';
import { type LinkedProgram, Linker } from './link.js';
import type { BpfMap } from './map.js';
import type { BpfObject } from './object.js';
import type { BpfProgram } from './program.js';

// Programs of an object as a kernel would get them, without loading anything: what the doctor looks at.

/** Where an insn stands: in its function, and in the source if there are line records. */
export interface CodePlace {
  function: string;
  /** Index within the function. */
  insn: number;
  /** `file.bpf.c:34`, or undefined without line records. */
  place: string | undefined;
}

/** A map, or a place in one that holds global data. */
export interface Reference {
  map: string;
  /** Of global data. */
  offset?: number;
}

/** Constant sections get addresses of their own, so far apart that no offset leads from one to another. */
const STRIDE = 1n << 32n;
const FIRST = 1n << 48n;
/** What stands for the address of something that exists. */
const SOMEWHERE = 1n << 62n;

/** A linked program whose LD_IMM64 hold made-up addresses, and 0 for what this kernel lacks. */
export class LinkedCode {
  #reachable: ((insn: number) => boolean) | undefined;

  constructor(
    readonly program: BpfProgram,
    readonly linked: LinkedProgram,
    /** Externs that are called or loaded, by insn within the program; poisoned insns left out. */
    readonly externs: ReadonlyMap<number, { name: string; call: boolean }>,
    /** Maps and global data that an LD_IMM64 names, likewise. */
    readonly references: ReadonlyMap<number, Reference>,
    private readonly constants: Constants,
  ) {}

  get insns(): Uint8Array {
    return this.linked.insns;
  }

  /** Whether any constant, of `.rodata` as it is set now, of `__kconfig` or of CO-RE, rules an insn out. */
  reachable(insn: number): boolean {
    this.#reachable ??= reachableInsns(this.insns, this.constants.read);
    return this.#reachable(insn);
  }

  at(insn: number): CodePlace {
    const { spec, start } = this.linked.functions.findLast((candidate) => candidate.start <= insn)!;
    const line = spec.lines.findLast((candidate) => candidate.insn <= insn - start);
    return {
      function: spec.name,
      insn: insn - start,
      place: line && `${line.file.replace(/^.*\//, '')}:${line.line}`,
    };
  }
}

/**
 * The programs of an object against a kernel: those that are to be loaded and can be linked. `missing` has the weak kfuncs that the
 * kernel lacks.
 */
export function linkPrograms(
  object: BpfObject,
  profile: Profile,
  modules: readonly BtfView[],
): { codes: LinkedCode[]; missing: ReadonlySet<string> } {
  const { spec } = object;
  const types = new KernelTypes(profile.btf, () =>
    modules.map((btf, i) => ({ btf, fd: i + 1, name: `module ${i + 1}` })),
  );
  const { resolved } = resolveExterns(spec, object.configured(profile), types);
  // Whether the kernel has a symbol without a type is not known.
  const absent = spec.externs.filter(
    ({ kind, weak, name, type }) =>
      weak && !resolved.ksyms.has(name) && (kind === 'kfunc' || (kind === 'ksym' && type !== 0)),
  );
  const missing = new Set(absent.filter(({ kind }) => kind === 'kfunc').map(named));
  const zero = new Set(absent.map(named));
  const linker = new Linker(spec, spec.btf && new CoReResolver(spec.btf, profile.btf, () => modules));
  const constants = new Constants(object.maps.filter(isConstant), resolved.kconfig);
  const codes = object.programs.flatMap((program) => {
    const linked = program.autoload ? attempt(() => linker.link(program.spec)) : undefined;
    if (!linked) return [];
    const { externs, references } = fillAll(linked, zero, constants);
    return [new LinkedCode(program, linked, externs, references, constants)];
  });
  return { codes, missing };
}

/** Puts addresses into the LD_IMM64; the externs that are left, and what maps they name. */
function fillAll(
  { insns, functions, poisoned }: LinkedProgram,
  zero: ReadonlySet<string>,
  constants: Constants,
): { externs: Map<number, { name: string; call: boolean }>; references: Map<number, Reference> } {
  const externs = new Map<number, { name: string; call: boolean }>();
  const references = new Map<number, Reference>();
  const view = new DataView(insns.buffer, insns.byteOffset, insns.byteLength);
  for (const { spec, start } of functions) {
    for (const reloc of spec.relocations) {
      const insn = start + reloc.insn;
      if (poisoned.has(insn)) continue;
      if (reloc.kind === 'extern') externs.set(insn, { name: reloc.name, call: reloc.call });
      if (reloc.kind === 'map') references.set(insn, { map: reloc.map });
      if (reloc.kind === 'data') references.set(insn, { map: reloc.map, offset: reloc.offset });
      // A compiler leaves such a call as one of a function of the object.
      if (reloc.kind === 'extern' && reloc.call) setSource(view, insn, CALL_KFUNC);
      if (insns[insn * INSN_BYTES] === OP_LD_IMM64) fill(view, insn, loadedValue(reloc, zero, constants));
    }
  }
  return { externs, references };
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
function loadedValue(reloc: CodeReloc, zero: ReadonlySet<string>, constants: Constants): bigint | 'code' | undefined {
  switch (reloc.kind) {
    case 'call':
    case 'func':
      return 'code';
    case 'data':
      return constants.address(reloc.map, reloc.offset);
    case 'extern':
      return zero.has(reloc.name) ? 0n : (constants.kconfig(reloc.name) ?? SOMEWHERE);
    default:
      return undefined;
  }
}

function setSource(view: DataView, insn: number, src: number): void {
  const at = insn * INSN_BYTES + 1;
  view.setUint8(at, (view.getUint8(at) & 0x0f) | (src << 4));
}

function fill(view: DataView, insn: number, value: bigint | 'code' | undefined): void {
  if (value === 'code') return;
  const at = insn * INSN_BYTES;
  setSource(view, insn, value === undefined ? PSEUDO_BTF_ID : 0);
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
