import { ERRNO, ErrnoError } from '../../errno.js';
import { InputError, VmtableError } from '../../errors.js';
import type { GuestPtr, HostCall } from '../../vm/types.js';
import type { BtfObject } from '../btf.js';
import type { Kernel } from '../kernel.js';
import { BpfProg } from '../prog/prog.js';
import type { Kdata, ProgInfo, StructOpsDef } from '../types.js';
import { answered } from './answer.js';
import { ASSOC_POISON } from './assoc.js';
import { describe, RegisterError } from './desc.js';
import type { StructOpsMap } from './map.js';

/** A vtable as subsystems name it: the object that callbacks receive, or its guest address. */
export type KdataRef = Kdata | GuestPtr;

/** What subsystems call: registration and the helpers around kdata (kernel: kernel/bpf/bpf_struct_ops.c). */
export class StructOps {
  readonly #maps = new Map<GuestPtr, StructOpsMap>();
  #updating = false;
  /** @internal The member at which the last update of a map was refused, for messages. */
  refused: string | undefined;

  constructor(private readonly kernel: Kernel) {}

  /**
   * Registers a subsystem's type (register_bpf_struct_ops). Throws ErrnoError with the kernel's errno and reason: EEXIST for
   * a definition that is registered already, EINVAL and EOPNOTSUPP for types that cannot be; InputError for what is no
   * definition at all.
   */
  register(def: StructOpsDef): void {
    checkDef(def);
    const fail = (errno: number, reason: string, cause?: unknown): never => {
      throw new ErrnoError(errno, `struct_ops "${def.name}": ${reason}`, { cause });
    };
    const btf: BtfObject = def.btf ? this.kernel.moduleOf(def.btf, def.name) : this.kernel.vmlinux;
    if (btf.structOps.some((desc) => desc.def === def)) fail(ERRNO.EEXIST, 'registered already');
    try {
      const desc = describe(def, btf, this.kernel.profile.behaviours);
      const err = def.init ? answered(def, 'init', def.init(btf.view)) : 0;
      if (err !== 0) fail(ERRNO.EINVAL, `init answered ${err}`);
      btf.structOps.push(desc);
    } catch (error) {
      if (error instanceof RegisterError) fail(-error.errno, error.reason, error);
      throw error;
    }
  }

  /** bpf_struct_ops_get: one more reference to the map; false if it is on its way out. */
  get(kdata: KdataRef): boolean {
    return this.mapOf(kdata).incNotZero();
  }

  /** bpf_struct_ops_put. */
  put(kdata: KdataRef): void {
    this.mapOf(kdata).put();
  }

  /** bpf_struct_ops_id: id of the map that holds this vtable. */
  id(kdata: KdataRef): number {
    return this.mapOf(kdata).id;
  }

  /**
   * bpf_struct_ops_for_each_prog: calls `visit` for every member program in member order. The first result that is not 0
   * stops the walk and is returned; otherwise 0. The map is complete and stable inside reg, update and unreg.
   */
  forEachProg(kdata: KdataRef, visit: (prog: ProgInfo, member: string) => number): number {
    for (const { member, prog } of this.mapOf(kdata).memberProgs) {
      const result = visit(prog, member);
      if (result !== 0) return result;
    }
    return 0;
  }

  /**
   * bpf_prog_get_assoc_struct_ops: the vtable that a program is associated with, or null if there is none or more than one.
   * It may not be registered, or not even updated yet. Only for kfuncs (pass their call), or inside an RCU read section.
   */
  assocOf(of: HostCall | BpfProg): Kdata | null {
    const prog = of instanceof BpfProg ? of : this.kernel.callerOf(of);
    if (!this.kernel.rcu.reading) {
      throw new VmtableError('association of a program: asked for outside of a program and of RCU read sections');
    }
    const assoc = prog.aux.structOpsAssoc;
    return assoc === null || assoc === ASSOC_POISON ? null : assoc.kdata;
  }

  /** The map that holds a vtable. Throws VmtableError for anything else. */
  mapOf(kdata: KdataRef): StructOpsMap {
    const map = this.#maps.get(typeof kdata === 'number' ? kdata : kdata.ptr);
    if (!map) throw new VmtableError('struct_ops: no map holds this vtable (freed?)');
    return map;
  }

  /**
   * The mutex that reg, unreg and update of every type run under. Taking it again inside of one is a deadlock in the kernel
   * and an error here.
   */
  exclusive<T>(body: () => T): T {
    if (this.#updating) {
      throw new VmtableError('struct_ops: link changed from inside reg, unreg or update; the kernel would deadlock');
    }
    this.#updating = true;
    try {
      return body();
    } finally {
      this.#updating = false;
    }
  }

  /** @internal */
  remember(map: StructOpsMap): void {
    this.#maps.set(map.kdata.ptr, map);
  }

  /** @internal */
  forget(map: StructOpsMap): void {
    this.#maps.delete(map.kdata.ptr);
  }
}

const CALLBACKS = ['init_member', 'reg', 'unreg'] as const;
const OPTIONAL_CALLBACKS = ['init', 'check_member', 'validate', 'update'] as const;

/** What the types promise and plain JavaScript may not keep. Missing stubs are the kernel's to refuse (EINVAL). */
function checkDef(def: StructOpsDef): void {
  const missing = CALLBACKS.filter((name) => def[name] === undefined).map((name) => `${name}()`);
  if (def.name === undefined) missing.unshift('name');
  const who = typeof def.name === 'string' ? `struct_ops "${def.name}"` : 'registerStructOps';
  if (missing.length > 0) throw new InputError(`${who}: the definition lacks ${missing.join(', ')}`);
  if (typeof def.name !== 'string') throw new InputError(`${who}: the name is no string`);
  if (def.btf !== undefined && typeof def.btf?.find !== 'function') throw new InputError(`${who}: btf is no BTF`);
  for (const name of [...CALLBACKS, ...OPTIONAL_CALLBACKS]) {
    if (def[name] !== undefined && typeof def[name] !== 'function')
      throw new InputError(`${who}: ${name} is no function`);
  }
}
