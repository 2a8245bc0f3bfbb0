import { ACCESS_RO } from '../../../assembly/abi.js';
import { BTF_KIND } from '../../btf/types.js';
import { ErrnoError } from '../../errno.js';
import { VmtableError } from '../../errors.js';
import type { GuestPtr, HostCall } from '../../vm/types.js';
import type { BtfObject } from '../btf.js';
import type { Kernel } from '../kernel.js';
import type { SpecialField } from '../map/record.js';
import type { Holder } from './holders.js';

/** Largest object that the kernel's allocator has a cache for, less its link (kernel/bpf/memalloc.c). */
const MAX_BYTES = 4096 - 8;
/** Kernel: BPF_GLOBAL_PERCPU_MA_MAX_SIZE. */
const MAX_PERCPU_BYTES = 512;

/** An object that a program has allocated with bpf_obj_new or bpf_percpu_obj_new. */
export interface LocalObject extends Holder {
  readonly btf: BtfObject;
  readonly typeId: number;
  /** `struct node_data` */
  readonly what: string;
  readonly percpu: boolean;
  /** References; more than one only with a bpf_refcount. */
  refs: number;
  /** Others than the program that holds it may know it: it lasts until a grace period is over. */
  shared: boolean;
}

/**
 * Objects of types of the program's own BTF. Fresh ones are zero here; the kernel zeroes their special fields alone, which
 * no program that a verifier has passed reads before it writes.
 */
export class LocalObjects {
  readonly #objects = new Map<GuestPtr, LocalObject>();

  constructor(private readonly kernel: Kernel) {}

  register(): void {
    const { kernel } = this;
    for (const suffix of ['', '_impl']) {
      kernel.registerKfunc(`bpf_obj_new${suffix}`, (call) => {
        call.retPtr(this.#alloc(call, `bpf_obj_new${suffix}`, false));
      });
      kernel.registerKfunc(`bpf_percpu_obj_new${suffix}`, (call) => {
        call.retPtr(this.#alloc(call, `bpf_percpu_obj_new${suffix}`, true));
      });
      kernel.registerKfunc(`bpf_obj_drop${suffix}`, (call) => {
        this.drop(this.give(call, 0, false));
      });
      kernel.registerKfunc(`bpf_percpu_obj_drop${suffix}`, (call) => {
        this.drop(this.give(call, 0, true));
      });
      kernel.registerKfunc(`bpf_refcount_acquire${suffix}`, (call) => {
        call.retPtr(this.#refcountAcquire(call, `bpf_refcount_acquire${suffix}`));
      });
    }
  }

  /** Objects that are not dropped yet. */
  get count(): number {
    return this.#objects.size;
  }

  at(ptr: GuestPtr): LocalObject | undefined {
    return this.#objects.get(ptr);
  }

  #alloc(call: HostCall, name: string, percpu: boolean): GuestPtr {
    const { btf } = this.kernel.callerOf(call).aux;
    const id = call.u64n(0);
    const type = btf && id < btf.view.typeCount ? btf.view.type(id) : undefined;
    if (!btf || type?.kind !== BTF_KIND.STRUCT) {
      return call.fail(new VmtableError(`type ID ${call.u64(0)} is no struct of the program's BTF`));
    }
    const fields = btf.structRecords.get(id) ?? [];
    const what = `struct ${type.name || '(anon)'}`;
    if (type.size === 0) call.fail(new VmtableError(`${what} has no bytes`));
    if (percpu && fields.length > 0) call.fail(new VmtableError(`${what} has special fields`));
    if (percpu && type.size > MAX_PERCPU_BYTES) {
      call.fail(new VmtableError(`${what} is larger than ${MAX_PERCPU_BYTES} bytes`));
    }
    if (type.size > MAX_BYTES) return 0;
    const ptr = this.#memory(what, type.size, percpu);
    if (ptr === 0) return 0;
    protect(this.kernel, ptr, fields);
    const object = { ptr, fields, btf, typeId: id, what, percpu, refs: 1, shared: percpu };
    this.#objects.set(ptr, object);
    this.kernel.fields.holders.add(object);
    this.take(call, object, name);
    return ptr;
  }

  /** Memory for an object, 0 if there is none. */
  #memory(what: string, bytes: number, percpu: boolean): GuestPtr {
    const { kernel } = this;
    try {
      if (!percpu) return kernel.memory.alloc(bytes, { align: 8, name: what });
      const copies = Array.from({ length: kernel.cpus }, (_, cpu) =>
        kernel.memory.alloc(bytes, { align: 8, name: `${what} on CPU ${cpu}` }),
      );
      const ptr = kernel.percpu.define(what, bytes, (cpu) => copies[cpu]!);
      this.#copies.set(ptr, copies);
      return ptr;
    } catch (error) {
      if (error instanceof ErrnoError) return 0;
      throw error;
    }
  }

  readonly #copies = new Map<GuestPtr, GuestPtr[]>();

  /** The calling program owns one reference from now on. */
  take(call: HostCall, object: LocalObject, name: string): void {
    this.kernel.held.acquire(call, 'reference', object.ptr, `${object.what} of ${name}`, () => this.drop(object));
  }

  /** The object that argument `i` is, whose reference the program gives away. */
  give(call: HostCall, i: number, percpu: boolean): LocalObject {
    const ptr = call.ptr(i);
    const object = this.#objects.get(ptr);
    if (!object || object.percpu !== percpu) {
      const what = percpu ? 'a per-CPU object' : 'an object of bpf_obj_new';
      return call.fail(new VmtableError(`argument ${i + 1} is not ${what} but ${call.memory.describe(ptr)}`));
    }
    this.disown(call, object);
    return object;
  }

  /** Takes a reference off the program's account, which it gives away. */
  disown(call: HostCall, object: LocalObject): void {
    if (!this.kernel.held.release('reference', object.ptr)) {
      call.fail(new VmtableError(`the program does not own this ${object.what}`));
    }
  }

  #refcountAcquire(call: HostCall, name: string): GuestPtr {
    const ptr = call.ptr(0);
    const object = this.#objects.get(ptr);
    if (!object?.fields.some(({ kind }) => kind === 'bpf_refcount')) {
      const what = object?.what ?? call.memory.describe(ptr);
      call.fail(new VmtableError(`argument 1 is no object with a bpf_refcount but ${what}`));
    }
    if (object.refs === 0) return 0;
    object.refs++;
    object.shared = true;
    this.take(call, object, name);
    return ptr;
  }

  /** Gives one reference back (kernel: __bpf_obj_drop_impl); the last frees the object and what its fields own. */
  drop(object: LocalObject): void {
    if (--object.refs > 0) return;
    const { kernel } = this;
    kernel.fields.free(object.fields, object.ptr);
    // Nobody else has ever seen it: any access from now on is a mistake.
    if (object.shared) kernel.rcu.call(() => this.#free(object));
    else this.#free(object);
  }

  #free(object: LocalObject): void {
    const { kernel } = this;
    const { ptr } = object;
    this.#objects.delete(ptr);
    kernel.fields.holders.remove(ptr);
    if (!object.percpu) {
      kernel.memory.free(ptr);
      return;
    }
    for (const copy of this.#copies.get(ptr) ?? []) kernel.memory.free(copy);
    this.#copies.delete(ptr);
    kernel.percpu.remove(ptr);
  }
}

/** Programs may read special fields, and change them through helpers alone; pointers that own nothing are theirs. */
export function protect(kernel: Kernel, base: GuestPtr, fields: readonly SpecialField[]): void {
  for (const { kind, offset, size } of fields) {
    if (kind !== 'kptr_untrusted') kernel.memory.setAccess(base + offset, size, ACCESS_RO);
  }
}
