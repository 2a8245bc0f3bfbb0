import {
  CALL_KFUNC,
  INSN_BYTES,
  OP_CALL,
  OP_LD_IMM64,
  PSEUDO_BTF_ID,
  PSEUDO_MAP_FD,
  PSEUDO_MAP_VALUE,
} from '../../assembly/isa.js';
import { BTF_KIND, type BtfView } from '../btf/types.js';
import { InputError, located } from '../errors.js';
import type { CodeReloc, ExternSpec } from '../object/spec.js';
import { BPF_MAP_TYPE } from '../uapi.js';
import { arenaDataOffset } from './create_maps.js';
import { isTypeless, type ResolvedExterns } from './externs.js';
import type { KernelBtf, KernelTypes } from './kernel_types.js';
import type { LinkedProgram } from './link.js';
import type { BpfMap } from './map.js';

// References of a linked program to what the kernel knows by now: maps, global data, kfuncs and ksyms (libbpf:
// bpf_object__relocate_data).

/** Helper numbers that stand where a map was not created or a weak kfunc is missing; the rest is an index (libbpf). */
const POISON_MAP = 2_001_000_000;
const POISON_KFUNC = 2_002_000_000;

export interface RelocationContext {
  maps: readonly BpfMap[];
  externs: readonly ExternSpec[];
  resolved: ResolvedExterns;
  types: KernelTypes;
  btf: BtfView | undefined;
  /** The map of `extern … __kconfig` variables. */
  kconfig: BpfMap | undefined;
  /** Index of a module's BTF in the fd array. */
  fdIndex(module: KernelBtf): number;
}

/** A relocation that needs fds or the kernel's type ids. */
type DataReloc = Extract<CodeReloc, { kind: 'map' | 'data' | 'extern' }>;

/** Relocates the programs of one object, each once all maps are created. */
export class DataRelocator {
  readonly #maps = new Map<string, number>();
  readonly #externs = new Map<string, number>();

  constructor(private readonly context: RelocationContext) {
    for (const [i, { name }] of context.maps.entries()) if (!this.#maps.has(name)) this.#maps.set(name, i);
    for (const [i, { name }] of context.externs.entries()) if (!this.#externs.has(name)) this.#externs.set(name, i);
  }

  /** Puts fds and type ids into the insns. */
  relocate(program: LinkedProgram): void {
    const insns = new Patch(program);
    for (const { spec, start } of program.functions) {
      for (const reloc of spec.relocations) {
        // Dead code that CO-RE poisoned has nothing left to relocate.
        if (reloc.kind === 'call' || reloc.kind === 'func' || program.poisoned.has(start + reloc.insn)) continue;
        insns.at = (start + reloc.insn) * INSN_BYTES;
        try {
          this.#one(insns, reloc);
        } catch (error) {
          throw located(`insn ${start + reloc.insn}`, error);
        }
      }
    }
  }

  #one(insn: Patch, reloc: DataReloc): void {
    const isCall = reloc.kind === 'extern' && reloc.call;
    if (insn.opcode !== (isCall ? OP_CALL : OP_LD_IMM64)) {
      throw new InputError(`${reloc.kind} relocation of an insn that is no ${isCall ? 'call' : 'LD_IMM64'}`);
    }
    if (reloc.kind === 'extern') {
      this.#extern(insn, reloc.name, reloc.call);
      return;
    }
    const map = this.#map(insn, reloc.map);
    if (!map) return;
    if (reloc.kind === 'map') {
      insn.setImm64(PSEUDO_MAP_FD, map.fd, 0);
    } else {
      const base = map.definition.type === BPF_MAP_TYPE.ARENA ? arenaDataOffset(map) : 0;
      insn.setImm64(PSEUDO_MAP_VALUE, map.fd, base + reloc.offset);
    }
  }

  #map(insn: Patch, name: string): BpfMap | undefined {
    const index = this.#maps.get(name) ?? -1;
    const map = this.context.maps[index];
    if (!map) throw new InputError(`no map "${name}"`);
    if (map.created) return map;
    insn.poison(POISON_MAP + index, `BPF map '${name}' is referenced but wasn't created`);
    return undefined;
  }

  #extern(insn: Patch, name: string, isCall: boolean): void {
    const { context } = this;
    const index = this.#externs.get(name) ?? -1;
    const extern = context.externs[index];
    if (!extern) throw new InputError(`no extern "${name}"`);
    if (extern.kind === 'kconfig') {
      if (!context.kconfig || isCall) throw new InputError(`extern "${extern.name}": no kconfig variable`);
      const variable = context.kconfig.spec.data?.variables.find((candidate) => candidate.name === extern.name);
      if (!variable) throw new InputError(`extern "${extern.name}": no kconfig variable`);
      insn.setImm64(PSEUDO_MAP_VALUE, context.kconfig.fd, variable.offset);
      return;
    }
    const found = context.resolved.ksyms.get(extern.name);
    if (isCall) {
      if (!found) {
        insn.poison(POISON_KFUNC + index, `kfunc '${extern.name}' is referenced but wasn't resolved`);
        return;
      }
      insn.setKfunc(found.in.fd > 0 ? context.fdIndex(found.in) : 0, found.id);
      return;
    }
    if (found) {
      insn.setImm64(PSEUDO_BTF_ID, found.id, found.in.fd);
      return;
    }
    if (context.btf && isTypeless(context.btf, extern)) {
      // Its address would come from kallsyms. A function or variable that BTF describes has the address that typed ksyms see.
      const symbol = context.types.find(extern.name, BTF_KIND.FUNC, BTF_KIND.VAR);
      if (symbol) insn.setImm64(PSEUDO_BTF_ID, symbol.id, symbol.in.fd);
      else
        insn.poison(POISON_KFUNC + index, `address of ksym '${extern.name}' is not modelled (not in the kernel's BTF)`);
      return;
    }
    // A weak symbol that is missing is NULL.
    insn.setImm64(0, 0, 0);
  }
}

/** One insn of a program at a time, to be changed. */
class Patch {
  /** Byte offset of the insn. */
  at = 0;
  readonly #insns: Uint8Array;
  readonly #view: DataView;

  constructor(private readonly program: LinkedProgram) {
    const { insns } = program;
    this.#insns = insns;
    this.#view = new DataView(insns.buffer, insns.byteOffset, insns.byteLength);
  }

  get opcode(): number {
    return this.#insns[this.at] as number;
  }

  setImm64(src: number, low: number, high: number): void {
    this.#setSrc(src);
    this.#view.setUint32(this.at + 4, low >>> 0, true);
    this.#view.setUint32(this.at + INSN_BYTES + 4, high >>> 0, true);
  }

  setKfunc(fdIndex: number, id: number): void {
    this.#setSrc(CALL_KFUNC);
    this.#view.setInt16(this.at + 2, fdIndex, true);
    this.#view.setInt32(this.at + 4, id, true);
  }

  /** Puts calls that cannot be in the insn's place; `text` is what the fault says. */
  poison(helper: number, text: string): void {
    const end = this.opcode === OP_LD_IMM64 ? this.at + INSN_BYTES : this.at;
    for (let slot = this.at; slot <= end; slot += INSN_BYTES) {
      this.#view.setUint32(slot, OP_CALL, true);
      this.#view.setUint32(slot + 4, helper, true);
      this.program.poisoned.set(slot / INSN_BYTES, text);
    }
  }

  #setSrc(src: number): void {
    this.#insns[this.at + 1] = ((this.#insns[this.at + 1] as number) & 0x0f) | (src << 4);
  }
}
