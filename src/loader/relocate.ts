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
import { InputError, within } from '../errors.js';
import type { ExternSpec } from '../object/spec.js';
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

/** Puts fds and type ids into the insns. */
export function relocateData(program: LinkedProgram, context: RelocationContext): void {
  for (const reloc of program.relocations) {
    within(`insn ${reloc.insn}`, () => relocateOne(program, reloc, context));
  }
}

function relocateOne(
  program: LinkedProgram,
  reloc: LinkedProgram['relocations'][number],
  context: RelocationContext,
): void {
  const { insns } = program;
  const at = reloc.insn * INSN_BYTES;
  const view = new DataView(insns.buffer, insns.byteOffset, insns.byteLength);
  const setImm64 = (src: number, low: number, high: number) => {
    insns[at + 1] = ((insns[at + 1] ?? 0) & 0x0f) | (src << 4);
    view.setUint32(at + 4, low >>> 0, true);
    view.setUint32(at + INSN_BYTES + 4, high >>> 0, true);
  };
  const poison = (helper: number, text: string) => {
    const end = insns[at] === OP_LD_IMM64 ? at + INSN_BYTES : at;
    for (let slot = at; slot <= end; slot += INSN_BYTES) {
      view.setUint32(slot, OP_CALL, true);
      view.setUint32(slot + 4, helper, true);
      program.poisoned.set(slot / INSN_BYTES, text);
    }
  };
  const mapOf = (name: string) => {
    const index = context.maps.findIndex((map) => map.name === name);
    const map = context.maps[index];
    if (!map) throw new InputError(`no map "${name}"`);
    if (map.created) return map;
    poison(POISON_MAP + index, `BPF map '${name}' is referenced but wasn't created`);
    return undefined;
  };
  const wide = insns[at] === OP_LD_IMM64;
  const isCall = reloc.kind === 'extern' && reloc.call;
  if (isCall ? insns[at] !== OP_CALL : !wide)
    throw new InputError(`${reloc.kind} relocation of an insn that is no ${isCall ? 'call' : 'LD_IMM64'}`);

  switch (reloc.kind) {
    case 'map': {
      const map = mapOf(reloc.map);
      if (map) setImm64(PSEUDO_MAP_FD, map.fd, 0);
      return;
    }
    case 'data': {
      const map = mapOf(reloc.map);
      if (!map) return;
      const base = map.definition.type === BPF_MAP_TYPE.ARENA ? arenaDataOffset(map) : 0;
      setImm64(PSEUDO_MAP_VALUE, map.fd, base + reloc.offset);
      return;
    }
    case 'extern':
      break;
  }

  const index = context.externs.findIndex((extern) => extern.name === reloc.name);
  const extern = context.externs[index];
  if (!extern) throw new InputError(`no extern "${reloc.name}"`);
  if (extern.kind === 'kconfig') {
    if (!context.kconfig || reloc.call) throw new InputError(`extern "${extern.name}": no kconfig variable`);
    const variable = context.kconfig.spec.data?.variables.find((candidate) => candidate.name === extern.name);
    if (!variable) throw new InputError(`extern "${extern.name}": no kconfig variable`);
    setImm64(PSEUDO_MAP_VALUE, context.kconfig.fd, variable.offset);
    return;
  }
  const found = context.resolved.ksyms.get(extern.name);
  if (reloc.call) {
    if (!found) {
      poison(POISON_KFUNC + index, `kfunc '${extern.name}' is referenced but wasn't resolved`);
      return;
    }
    insns[at + 1] = ((insns[at + 1] ?? 0) & 0x0f) | (CALL_KFUNC << 4);
    view.setInt16(at + 2, found.in.fd > 0 ? context.fdIndex(found.in) : 0, true);
    view.setInt32(at + 4, found.id, true);
    return;
  }
  if (found) {
    setImm64(PSEUDO_BTF_ID, found.id, found.in.fd);
    return;
  }
  if (context.btf && isTypeless(context.btf, extern)) {
    // Its address would come from kallsyms. A function or variable that BTF describes has the address that typed ksyms see.
    const symbol = context.types.find(extern.name, BTF_KIND.FUNC, BTF_KIND.VAR);
    if (symbol) setImm64(PSEUDO_BTF_ID, symbol.id, symbol.in.fd);
    else poison(POISON_KFUNC + index, `address of ksym '${extern.name}' is not modelled (not in the kernel's BTF)`);
    return;
  }
  // A weak symbol that is missing is NULL.
  setImm64(0, 0, 0);
}
