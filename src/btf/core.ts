import { ERRNO, ErrnoError } from '../errno.js';
import { type Candidate, type CoReQuery, matchAccess, parseAccess } from './core_access.js';
import { CO_RE, CORE_KIND_COUNT, coReKindName } from './core_kind.js';
import { essentialName, kindsCompatible } from './core_match.js';
import { blank, type CoReResult, calculate } from './core_value.js';
import type { BtfView } from './types.js';

export type { CoReQuery } from './core_access.js';
export { CO_RE, coReKindName } from './core_kind.js';
export type { CoReResult } from './core_value.js';

// CO-RE: what a program compiled against one kernel's types must read on another. A relocation names a type of the object's own
// BTF and an access path into it; its counterpart is looked for in the kernel's BTF by name (`___flavour` ignored) and the
// difference becomes a new immediate, offset or access size. Mirrors libbpf's relo_core.c (bpf_core_calc_relo_insn and below).

/** One CO-RE relocation of a function, as .BTF.ext has it. */
export interface CoReRelo extends CoReQuery {
  /** Index of the insn within its function. */
  insn: number;
}

/** Resolves relocations of one object against a kernel's BTFs. Keeps what it found, so use one for a whole object. */
export class CoReResolver {
  readonly #candidates = new Map<number, Candidate[]>();
  readonly #results = new Map<string, CoReResult>();

  /**
   * @param local the object's BTF
   * @param kernel the kernel's BTF
   * @param modules those of its modules, split on the kernel's; asked for and searched only for types that it lacks
   */
  constructor(
    readonly local: BtfView,
    readonly kernel: BtfView,
    readonly modules: () => readonly BtfView[] = () => [],
  ) {}

  /**
   * Throws InputError for a relocation that does not fit the object's own BTF, ErrnoError where libbpf refuses to go on: types
   * of the kernel that disagree (EINVAL), an unknown kind (EOPNOTSUPP).
   */
  resolve(relo: CoReQuery): CoReResult {
    const key = `${relo.kind}/${relo.type}/${relo.accessor}`;
    let result = this.#results.get(key);
    if (!result) {
      result = this.#resolve(relo);
      this.#results.set(key, result);
    }
    return result;
  }

  #resolve(relo: CoReQuery): CoReResult {
    if (relo.kind < 0 || relo.kind >= CORE_KIND_COUNT) {
      throw new ErrnoError(ERRNO.EOPNOTSUPP, `unrecognized CO-RE relocation kind ${relo.kind}`);
    }
    const local = parseAccess(this.local, relo);
    if (relo.kind === CO_RE.TYPE_ID_LOCAL) {
      // The linker may renumber types without touching the insn, so its value is not checked.
      const id = BigInt(relo.type);
      return { ...blank(local), originalValue: id, value: id, validate: false, found: true };
    }
    if (this.local.nameOf(relo.type) === '') {
      throw new ErrnoError(ERRNO.EOPNOTSUPP, `CO-RE ${coReKindName(relo.kind)} of anonymous type [${relo.type}]`);
    }
    const candidates = this.#candidatesFor(relo.type);
    const fitting: Candidate[] = [];
    let chosen: { result: CoReResult; bitOffset: number } | undefined;
    for (const candidate of candidates) {
      const target = matchAccess(local, candidate);
      if (!target) continue;
      const result = calculate(local, target);
      if (!chosen) {
        chosen = { result, bitOffset: target.bitOffset };
      } else if (chosen.bitOffset !== target.bitOffset) {
        const offsets = `${target.bitOffset} != ${chosen.bitOffset}`;
        throw new ErrnoError(ERRNO.EINVAL, `CO-RE ${result.subject}: field offset ambiguity: ${offsets}`);
      } else if (chosen.result.poison !== result.poison || chosen.result.value !== result.value) {
        const say = (r: CoReResult) => `${r.poison ? 'failure' : 'success'} ${r.value}`;
        const decisions = `${say(result)} != ${say(chosen.result)}`;
        throw new ErrnoError(ERRNO.EINVAL, `CO-RE ${result.subject}: relocation decision ambiguity: ${decisions}`);
      }
      fitting.push(candidate);
    }
    // Types that did not fit once are out for every later relocation of this type; if none fits, all stay.
    if (fitting.length > 0) this.#candidates.set(relo.type, fitting);
    return chosen?.result ?? calculate(local, undefined);
  }

  /** Types of the kernel with the same essential name and kind as local type `id`; a module's only if the kernel has none. */
  #candidatesFor(id: number): Candidate[] {
    const known = this.#candidates.get(id);
    if (known) return known;
    const name = essentialName(this.local.nameOf(id));
    const kind = this.local.kindOf(id);
    const found: Candidate[] = [];
    const collect = (btf: BtfView, names: Iterable<string>, firstId: number) => {
      const ids = [...names].flatMap((full) => btf.findAll(full)).filter((at) => at >= firstId);
      for (const at of ids.sort((a, b) => a - b)) {
        if (kindsCompatible(btf.kindOf(at), kind)) found.push({ btf, id: at });
      }
    };
    const names = [name, ...this.kernel.flavours(name)];
    collect(this.kernel, names, 1);
    if (found.length === 0) {
      for (const btf of this.modules()) collect(btf, new Set([...names, ...btf.flavours(name)]), this.kernel.typeCount);
    }
    this.#candidates.set(id, found);
    return found;
  }
}
