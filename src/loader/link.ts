import { MAX_INSNS } from '../../assembly/abi.js';
import { INSN_BYTES, OP_LD_IMM64, PSEUDO_FUNC } from '../../assembly/isa.js';
import type { CoReResolver } from '../btf/core.js';
import { applyCoRe } from '../btf/core_patch.js';
import { ERRNO, ErrnoError } from '../errno.js';
import { InputError, within } from '../errors.js';
import type { FunctionSpec, ObjectSpec, ProgramSpec } from '../object/spec.js';

// A program as the kernel takes it: its own insns and, after them, those of every function it reaches, each once, calls
// between them relative to the new places (libbpf: bpf_object__reloc_code, bpf_object__append_subprog_code).

/** A function within a linked program. */
export interface LinkedFunction {
  spec: FunctionSpec;
  /** Index of its first insn in the program. */
  start: number;
}

export interface LinkedProgram {
  insns: Uint8Array;
  /** The program itself first. */
  functions: readonly LinkedFunction[];
  /** Why an insn was replaced by an invalid call, by insn index within the program. */
  poisoned: Map<number, string>;
}

interface PreparedFunction {
  /** CO-RE applied. */
  insns: Uint8Array;
  poisoned: { insn: number; text: string }[];
  /** Of calls and function pointers, by insn. */
  targets: readonly [number, FunctionSpec][];
}

/** Links the programs of one object; CO-RE relocations of a shared function are worked out once. */
export class Linker {
  readonly #prepared = new Map<FunctionSpec, PreparedFunction>();
  readonly #functions = new Map<ProgramSpec, readonly LinkedFunction[]>();
  readonly #subprograms = new Map<string, FunctionSpec>();

  /** @param coRe undefined if the object has no BTF (and so no CO-RE relocations) */
  constructor(
    spec: ObjectSpec,
    readonly coRe: CoReResolver | undefined,
  ) {
    for (const subprogram of spec.subprograms) {
      // Of aliases at one place the first stands for all.
      const at = place(subprogram);
      if (!this.#subprograms.has(at)) this.#subprograms.set(at, subprogram);
    }
  }

  /**
   * The program and every function it reaches, in the order in which they are linked, all of them relocated against the kernel's
   * types. Throws InputError for a call that leads nowhere or an insn that does not fit its relocation, ErrnoError where CO-RE
   * refuses to go on or the program becomes longer than any kernel takes.
   */
  functionsOf(program: ProgramSpec): readonly LinkedFunction[] {
    const known = this.#functions.get(program);
    if (known) return known;
    const functions = this.#collect(program);
    this.#functions.set(program, functions);
    return functions;
  }

  #collect(program: ProgramSpec): LinkedFunction[] {
    const functions: LinkedFunction[] = [];
    const reached = new Set<FunctionSpec>();
    let length = 0;
    const append = (spec: FunctionSpec) => {
      const { insns } = this.#prepare(spec);
      functions.push({ spec, start: length });
      reached.add(spec);
      length += insns.length / INSN_BYTES;
      if (length > MAX_INSNS) throw new ErrnoError(ERRNO.E2BIG, `more than ${MAX_INSNS} insns`);
    };
    // Depth first, in order of the calls: a callee's own callees come before the caller's next one.
    const walk = (root: FunctionSpec) => {
      append(root);
      const stack = [{ calls: this.#calls(root), next: 0 }];
      for (let top = stack.at(-1); top; top = stack.at(-1)) {
        const callee = top.calls[top.next++]?.[1];
        if (!callee) {
          stack.pop();
        } else if (!reached.has(callee)) {
          append(callee);
          stack.push({ calls: this.#calls(callee), next: 0 });
        }
      }
    };
    walk(program);
    const handler = this.#exceptionCallback(program);
    if (handler && !reached.has(handler)) walk(handler);
    return functions;
  }

  /** Links one program. Throws as functionsOf. */
  link(program: ProgramSpec): LinkedProgram {
    const functions = this.functionsOf(program);
    const starts = new Map(functions.map(({ spec, start }) => [spec, start]));
    const last = functions.at(-1);
    const insns = new Uint8Array((last?.start ?? 0) * INSN_BYTES + (last?.spec.insns.length ?? 0));
    const view = new DataView(insns.buffer);
    const linked: LinkedProgram = { insns, functions, poisoned: new Map() };
    for (const { spec, start } of functions) {
      const prepared = this.#prepare(spec);
      insns.set(prepared.insns, start * INSN_BYTES);
      // Dead code that CO-RE poisoned has nothing left to relocate.
      for (const { insn, text } of prepared.poisoned) linked.poisoned.set(start + insn, text);
      for (const [insn, callee] of this.#calls(spec)) {
        const at = (start + insn) * INSN_BYTES;
        if (linked.poisoned.has(start + insn)) continue;
        view.setInt32(at + 4, (starts.get(callee) ?? 0) - (start + insn) - 1, true);
        if (insns[at] === OP_LD_IMM64) insns[at + 1] = ((insns[at + 1] ?? 0) & 0x0f) | (PSEUDO_FUNC << 4);
      }
    }
    return linked;
  }

  #calls(spec: FunctionSpec): readonly [number, FunctionSpec][] {
    return this.#prepare(spec).targets;
  }

  #prepare(spec: FunctionSpec): PreparedFunction {
    let prepared = this.#prepared.get(spec);
    if (!prepared) {
      prepared = within(`function "${spec.name}"`, () => {
        const insns = new Uint8Array(spec.insns);
        const poisoned = this.coRe ? applyCoRe(insns, spec.coRe, this.coRe) : [];
        const targets = [...this.#targets(spec)];
        for (const reloc of spec.relocations) checkInsn(spec, reloc.insn);
        return { insns, poisoned, targets };
      });
      this.#prepared.set(spec, prepared);
    }
    return prepared;
  }

  /** Functions that `spec` calls or takes the address of, by insn, ascending. */
  #targets(spec: FunctionSpec): Map<number, FunctionSpec> {
    const targets = new Map<number, FunctionSpec>();
    for (const reloc of spec.relocations) {
      if (reloc.kind !== 'call' && reloc.kind !== 'func') continue;
      const target = this.#subprograms.get(`${reloc.section}+${reloc.sectionOffset}`);
      if (!target) {
        const place = `"${reloc.section}" + ${reloc.sectionOffset}`;
        throw new InputError(`insn ${reloc.insn}: no subprogram starts at ${place}`);
      }
      targets.set(reloc.insn, target);
    }
    return targets;
  }

  /** The function that a `exception_callback:NAME` tag of the program names (libbpf: bpf_prog_assign_exc_cb). */
  #exceptionCallback(program: ProgramSpec): FunctionSpec | undefined {
    const prefix = 'exception_callback:';
    const names = program.declTags.filter((tag) => tag.startsWith(prefix)).map((tag) => tag.slice(prefix.length));
    // Several are the verifier's to refuse.
    if (names.length !== 1) return undefined;
    const [name] = names;
    const found = [...this.#subprograms.values()].filter((subprogram) => subprogram.name === name);
    const [callback] = found;
    if (!callback) throw new InputError(`cannot find exception callback '${name}'`);
    if (found.length > 1) throw new InputError(`multiple subprogs with same name as exception callback '${name}'`);
    if (callback.linkage === 'static') {
      throw new InputError(`exception callback ${name} must be a global non-hidden function`);
    }
    return callback;
  }
}

function place(spec: FunctionSpec): string {
  return `${spec.section}+${spec.sectionOffset}`;
}

function checkInsn(spec: FunctionSpec, insn: number): void {
  const at = insn * INSN_BYTES;
  const bytes = spec.insns[at] === OP_LD_IMM64 ? 2 * INSN_BYTES : INSN_BYTES;
  if (!Number.isInteger(insn) || insn < 0 || at + bytes > spec.insns.length) {
    throw new InputError(`function "${spec.name}": relocation of insn ${insn}, beyond its end`);
  }
}
