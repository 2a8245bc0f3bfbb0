import type { GuestPtr } from '../../vm/types.js';
import type { Kernel } from '../kernel.js';
import type { BpfMap } from '../map/map.js';
import type { FieldKind, SpecialField } from '../map/record.js';
import { Asyncs } from './async.js';
import { Graph } from './graph.js';
import { Holders } from './holders.js';
import { Kptrs } from './kptr.js';
import { Locks } from './locks.js';
import { LocalObjects, protect } from './objects.js';

/** Kinds that own nothing: a value that goes needs no word. */
const INERT: ReadonlySet<FieldKind> = new Set([
  'bpf_spin_lock',
  'bpf_res_spin_lock',
  'bpf_list_node',
  'bpf_rb_node',
  'bpf_refcount',
]);

/** The special fields in values of maps and in programs' objects, and the helpers and kfuncs that work on them. */
export class Fields {
  readonly holders: Holders;
  readonly objects: LocalObjects;
  readonly locks: Locks;
  readonly graph: Graph;
  readonly kptrs: Kptrs;
  readonly asyncs: Asyncs;

  constructor(private readonly kernel: Kernel) {
    this.holders = new Holders(kernel);
    this.objects = new LocalObjects(kernel);
    this.locks = new Locks(kernel);
    this.graph = new Graph(kernel);
    this.kptrs = new Kptrs(kernel);
    this.asyncs = new Asyncs(kernel);
  }

  register(): void {
    this.objects.register();
    this.locks.register();
    this.graph.register();
    this.kptrs.register();
    this.asyncs.register();
  }

  /** A map of the core's has its record: programs write no special field, and values that own something are told of when they go. */
  watch(map: BpfMap): void {
    const core = this.kernel.vm.maps.at(map.guest);
    const { record } = map;
    if (!core || record.length === 0) return;
    core.guard(record.filter(({ kind }) => kind !== 'kptr_untrusted'));
    if (record.every(({ kind }) => INERT.has(kind))) return;
    const lock = record.some(({ kind }) => kind === 'bpf_spin_lock');
    core.setFields({ ranges: record, lock, gone: (value) => this.free(record, value) });
  }

  /** The host has allocated a value for a map that it keeps itself. */
  adopt(map: BpfMap, value: GuestPtr): void {
    if (map.record.length === 0) return;
    this.holders.add({ ptr: value, fields: map.record, map });
    protect(this.kernel, value, map.record);
  }

  /** The host is about to free such a value. */
  gone(map: BpfMap, value: GuestPtr): void {
    if (map.record.length === 0) return;
    this.free(map.record, value);
    this.holders.remove(value);
  }

  /** Gives back what the fields of a value or object own (kernel: bpf_obj_free_fields). */
  free(fields: readonly SpecialField[], base: GuestPtr): void {
    const { memory } = this.kernel;
    for (const field of fields) {
      const at = base + field.offset;
      switch (field.kind) {
        case 'bpf_timer':
        case 'bpf_wq':
        case 'bpf_task_work':
          this.asyncs.free(at);
          break;
        case 'kptr':
        case 'percpu_kptr': {
          const ptr = memory.ptr(at);
          memory.setPtr(at, 0);
          if (ptr !== 0) this.kptrs.release(field, ptr);
          break;
        }
        case 'kptr_untrusted':
        case 'uptr':
          memory.setPtr(at, 0);
          break;
        case 'bpf_list_head':
        case 'bpf_rb_root':
          this.graph.drain(at);
          break;
        default:
          break;
      }
    }
  }
}
