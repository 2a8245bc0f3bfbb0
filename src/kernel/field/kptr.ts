import { VmtableError } from '../../errors.js';
import type { GuestPtr, HostCall } from '../../vm/types.js';
import type { Kernel } from '../kernel.js';
import type { SpecialField } from '../map/record.js';
import { sameStruct } from './graph.js';
import type { Place } from './holders.js';

/** bpf_kptr_xchg: what a kptr owns changes hands between it and the program. */
export class Kptrs {
  constructor(private readonly kernel: Kernel) {}

  register(): void {
    this.kernel.registerHelper('kptr_xchg', (call) => this.#xchg(call));
  }

  #xchg(call: HostCall): void {
    const { memory } = call;
    const place = this.kernel.fields.holders.field(call, 0, 'kptr', 'percpu_kptr');
    const given = call.ptr(1);
    const old = memory.ptr(place.ptr);
    if (old < 0) call.fail(new VmtableError('something has written over the kptr'));
    if (given !== 0) this.#give(call, given, place);
    memory.setPtr(place.ptr, given);
    if (old !== 0) {
      const what = `${structName(place.field)} of bpf_kptr_xchg`;
      this.kernel.held.acquire(call, 'reference', old, what, () => this.release(place.field, old));
    }
    call.retPtr(old);
  }

  /** The program gives away a reference to what such a kptr may own. */
  #give(call: HostCall, ptr: GuestPtr, { field }: Place): void {
    const { fields, objects, held } = this.kernel;
    const { btf, typeId } = field.target!;
    const own = fields.objects.at(ptr);
    const found = own ? own.what : objects.startingAt(ptr)?.struct.name;
    const fits = own
      ? own.percpu === (field.kind === 'percpu_kptr') && sameStruct(btf.view, typeId, own.btf.view, own.typeId)
      : btf.isKernel && (found === undefined || found === btf.view.nameOf(typeId));
    if (!fits) {
      const what = found ?? call.memory.describe(ptr);
      call.fail(new VmtableError(`argument 2 is no ${structName(field)} but ${what}`));
    }
    if (!held.release('reference', ptr)) {
      call.fail(new VmtableError(`the program does not own this ${structName(field)}`));
    }
    if (own) own.shared = true;
  }

  /** Gives back what such a kptr has owned. */
  release(field: SpecialField, ptr: GuestPtr): void {
    const { btf, typeId } = field.target!;
    if (btf.isKernel) {
      this.kernel.dtors.release(btf.view.nameOf(typeId), ptr);
      return;
    }
    const { objects } = this.kernel.fields;
    const object = objects.at(ptr);
    // Without checks of accesses a program can write anything into the field.
    if (!object) throw new VmtableError(`something has written over a kptr to ${structName(field)}`);
    objects.drop(object);
  }
}

function structName({ target }: SpecialField): string {
  return `struct ${target!.btf.view.nameOf(target!.typeId)}`;
}
