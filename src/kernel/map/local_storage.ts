import { ACCESS_RW } from '../../../assembly/abi.js';
import { BTF_KIND } from '../../btf/types.js';
import { ERRNO, ErrnoError } from '../../errno.js';
import { VmtableError } from '../../errors.js';
import { BPF_EXIST, BPF_F_LOCK, BPF_MAP_FLAG, BPF_MAP_TYPE, BPF_NOEXIST } from '../../uapi.js';
import type { ForeignMap } from '../../vm/map.js';
import type { GuestPtr } from '../../vm/types.js';
import { CgroupFile, PidFile } from '../files.js';
import type { Kernel } from '../kernel.js';
import { KernelCgroup } from '../model/cgroup.js';
import { noElementHelpers } from './foreign.js';
import { HostMap } from './host_map.js';
import type { BpfMap, MapCreateAttr } from './map.js';

// Local storages (kernel: kernel/bpf/bpf_local_storage.c and the file of each kind, 7.3): one value for each owner, an object
// of the kernel. Values are allocated one by one and keep their address until they are replaced or deleted; they go with the
// owner or with the map. The core finds them (assembly/map/storage.ts).
//
// Kernels before 7.1 count programs that are inside of a storage operation on this CPU and refuse to nest (task_storage_get
// under fentry of the kernel's own storage code). Nothing here runs a program in the middle of one.

const CREATE_FLAGS = BPF_MAP_FLAG.NO_PREALLOC | BPF_MAP_FLAG.CLONE;
const BPF_LOCAL_STORAGE_GET_F_CREATE = 1;
/** KMALLOC_MAX_SIZE, MAX_BPF_STACK and U16_MAX, the terms of BPF_LOCAL_STORAGE_MAX_VALUE_SIZE. */
const KMALLOC_MAX_SIZE = 4 << 20;
const MAX_BPF_STACK = 512;
const U16_MAX = 0xffff;
/** sizeof(struct bpf_local_storage_elem) without a value, for kernels whose BTF does not say. */
const ELEM_BYTES = 128;

/** What each kind hangs its values on. */
interface Kind {
  /** Structs that are an owner: the first member of the others is the first of these, or stands for it. */
  structs: readonly string[];
  /** What the key of element commands is an fd of: guest address of the owner, or -errno. */
  ownerOf(kernel: Kernel, fd: number): GuestPtr;
}

const KINDS: ReadonlyMap<number, Kind> = new Map<number, Kind>([
  [BPF_MAP_TYPE.TASK_STORAGE, { structs: ['task_struct'], ownerOf: taskOf }],
  [BPF_MAP_TYPE.CGRP_STORAGE, { structs: ['cgroup'], ownerOf: cgroupOf }],
  [
    BPF_MAP_TYPE.SK_STORAGE,
    {
      structs: [
        'sock',
        'sock_common',
        'inet_sock',
        'inet_connection_sock',
        'tcp_sock',
        'tcp6_sock',
        'udp_sock',
        'udp6_sock',
        // As programs on packets see a socket.
        'bpf_sock',
      ],
      // No socket of user space is modelled: an fd that is open is no socket's.
      ownerOf: (kernel, fd) => (kernel.fds.file(fd) ? -ERRNO.ENOTSOCK : -ERRNO.EBADF),
    },
  ],
  [
    BPF_MAP_TYPE.INODE_STORAGE,
    // The files here are consoles and anonymous inodes of bpf(2), whose inodes are not modelled and never had a value.
    { structs: ['inode'], ownerOf: (kernel, fd) => (kernel.fds.file(fd) ? -ERRNO.ENOENT : -ERRNO.EBADF) },
  ],
]);

/** Kernel: pidfd_get_pid, pid_task. */
function taskOf(kernel: Kernel, fd: number): GuestPtr {
  const object = kernel.fds.file(fd)?.object;
  if (!(object instanceof PidFile)) return -ERRNO.EBADF;
  return kernel.tasks.byPid(object.pid)?.ptr ?? -ERRNO.ENOENT;
}

/** Kernel: cgroup_v1v2_get_from_fd; a directory that was removed is ENOENT. */
function cgroupOf(kernel: Kernel, fd: number): GuestPtr {
  const object = kernel.fds.file(fd)?.object;
  if (!(object instanceof CgroupFile)) return -ERRNO.EBADF;
  return object.cgroup.dead ? -ERRNO.ENOENT : object.cgroup.ptr;
}

/** Kernel: bpf_local_storage_map_alloc_check. */
export function localStorageAllocCheck(attr: MapCreateAttr): number {
  if (
    (attr.map_flags & ~CREATE_FLAGS) !== 0 ||
    (attr.map_flags & BPF_MAP_FLAG.NO_PREALLOC) === 0 ||
    attr.max_entries !== 0 ||
    attr.key_size !== 4 ||
    attr.value_size === 0 ||
    attr.btf_key_type_id === 0 ||
    attr.btf_value_type_id === 0
  ) {
    return -ERRNO.EINVAL;
  }
  return 0;
}

export function localStorageAlloc(kernel: Kernel, attr: MapCreateAttr): BpfMap | number {
  const elem = kernel.types.tryStruct('bpf_local_storage_elem')?.size ?? ELEM_BYTES;
  const max = Math.min(KMALLOC_MAX_SIZE - MAX_BPF_STACK - elem, U16_MAX - elem);
  return attr.value_size > max ? -ERRNO.E2BIG : new LocalStorageMap(kernel, attr);
}

export class LocalStorageMap extends HostMap {
  readonly #kind: Kind;
  /** Owners in the order in which they got a value. */
  readonly #owners = new Set<GuestPtr>();
  readonly #ownerGone = (ptr: GuestPtr) => {
    if (this.#owners.has(ptr)) this.#unlink(ptr);
  };

  constructor(kernel: Kernel, attr: MapCreateAttr) {
    super(kernel, attr);
    this.#kind = KINDS.get(attr.map_type)!;
    kernel.objects.onRemove.add(this.#ownerGone);
  }

  protected override elementHelpers(attr: MapCreateAttr): ForeignMap {
    return {
      ...noElementHelpers(attr),
      storageGet: (owner, value, flags) => this.#get(owner, value, flags),
    };
  }

  /** Kernel: bpf_local_storage_map_check_btf. */
  override checkBtf(): number {
    const { view } = this.btf!;
    const key = view.type(view.resolve(this.btfKeyTypeId));
    return key.kind === BTF_KIND.INT && key.size === 4 && key.bits === 32 ? 0 : -ERRNO.EINVAL;
  }

  /** Owners that have a value. */
  get count(): number {
    return this.#owners.size;
  }

  /** Guest address of an owner's value, or 0. */
  find(owner: GuestPtr): GuestPtr {
    return this.kernel.vm.exports.storageLookup(this.guest, owner) >>> 0;
  }

  /** Throws VmtableError if no such object is at `owner`, as a verifier would not let a program name it. */
  #requireOwner(owner: GuestPtr): boolean {
    const object = this.kernel.objects.startingAt(owner);
    if (!object || !this.#kind.structs.includes(object.struct.name)) {
      const [struct] = this.#kind.structs;
      throw new VmtableError(`map "${this.name}": no struct ${struct} but ${this.kernel.memory.describe(owner)}`);
    }
    // Nothing new for a cgroup that is on its way out (percpu_ref_is_dying).
    return !(object instanceof KernelCgroup && object.dead);
  }

  /** bpf_TYPE_storage_get for an owner that has no value yet; the flags are known. */
  #get(owner: GuestPtr, value: GuestPtr, flags: number): GuestPtr {
    const mayCreate = this.#requireOwner(owner);
    if ((flags & BPF_LOCAL_STORAGE_GET_F_CREATE) === 0 || !mayCreate) return 0;
    const initial = value === 0 ? null : this.kernel.memory.bytes(value, this.valueSize).slice();
    const created = this.#update(owner, initial, BPF_NOEXIST);
    return created < 0 ? 0 : created;
  }

  /** Guest address of the value, or -errno (kernel: bpf_local_storage_update). */
  #update(owner: GuestPtr, bytes: Uint8Array | null, flags: number): GuestPtr {
    const locked = (flags & BPF_F_LOCK) !== 0;
    const mode = flags & ~BPF_F_LOCK;
    const hasLock = this.record.some(({ kind }) => kind === 'bpf_spin_lock');
    if (mode > BPF_EXIST || mode < 0 || (locked && !hasLock)) return -ERRNO.EINVAL;
    const old = this.find(owner);
    if (old !== 0 && mode === BPF_NOEXIST) return -ERRNO.EEXIST;
    if (old === 0 && mode === BPF_EXIST) return -ERRNO.ENOENT;
    if (old !== 0 && locked) {
      this.#fill(old, bytes!);
      return old;
    }
    const value = this.#allocate();
    if (value < 0) return value;
    if (bytes) this.#fill(value, bytes);
    if (!this.kernel.vm.exports.storageSet(this.guest, owner, value)) {
      this.kernel.fields.gone(this, value);
      this.kernel.memory.free(value);
      return -ERRNO.ENOMEM;
    }
    this.#owners.add(owner);
    if (old !== 0) this.#free(old);
    return value;
  }

  #allocate(): GuestPtr {
    try {
      const value = this.kernel.memory.alloc(this.valueSize, { access: ACCESS_RW, name: `map "${this.name}" value` });
      this.kernel.fields.adopt(this, value);
      return value;
    } catch (error) {
      if (error instanceof ErrnoError) return -error.errno;
      throw error;
    }
  }

  /** Everything but the kernel's own fields (copy_map_value). */
  #fill(value: GuestPtr, bytes: Uint8Array): void {
    const target = this.kernel.memory.bytes(value, this.valueSize);
    let at = 0;
    for (const { offset, size } of this.record) {
      target.set(bytes.subarray(at, offset), at);
      at = offset + size;
    }
    target.set(bytes.subarray(at), at);
  }

  #unlink(owner: GuestPtr): void {
    const value = this.kernel.vm.exports.storageTake(this.guest, owner) >>> 0;
    this.#owners.delete(owner);
    if (value !== 0) this.#free(value);
  }

  /** After a grace period, as programs may still look at it (bpf_selem_free). */
  #free(value: GuestPtr): void {
    this.kernel.rcu.call(
      () => {
        this.kernel.fields.gone(this, value);
        this.kernel.memory.free(value);
      },
      'rcu',
      'tasksTrace',
    );
  }

  /** bpf_TYPE_storage_delete: 0 or -ENOENT. Throws VmtableError as bpf_TYPE_storage_get does. */
  remove(owner: GuestPtr): number {
    if (this.find(owner) === 0) {
      this.#requireOwner(owner);
      return -ERRNO.ENOENT;
    }
    this.#unlink(owner);
    return 0;
  }

  #owner(key: Uint8Array): GuestPtr {
    return this.#kind.ownerOf(this.kernel, new DataView(key.buffer, key.byteOffset).getInt32(0, true));
  }

  override lookupElem(key: Uint8Array, value: Uint8Array): number {
    const owner = this.#owner(key);
    if (owner < 0) return owner;
    const found = this.find(owner);
    if (found === 0) return -ERRNO.ENOENT;
    value.set(this.kernel.memory.bytes(found, this.valueSize));
    for (const { offset, size } of this.record) value.fill(0, offset, offset + size);
    return 0;
  }

  override updateElem(key: Uint8Array, value: Uint8Array, flags: number): number {
    const uptrs = this.record.filter(({ kind }) => kind === 'uptr');
    if ((flags & BPF_F_LOCK) !== 0 && uptrs.length > 0) return -ERRNO.EOPNOTSUPP;
    const owner = this.#owner(key);
    if (owner < 0) return owner;
    // There is no user memory whose pages could be pinned (bpf_obj_pin_uptrs).
    if (uptrs.some(({ offset, size }) => value.subarray(offset, offset + size).some((byte) => byte !== 0))) {
      return -ERRNO.EFAULT;
    }
    if (this.type === BPF_MAP_TYPE.CGRP_STORAGE || this.type === BPF_MAP_TYPE.TASK_STORAGE) this.#requireOwner(owner);
    const result = this.#update(owner, value, flags);
    return result < 0 ? result : 0;
  }

  override deleteElem(key: Uint8Array): number {
    const owner = this.#owner(key);
    return owner < 0 ? owner : this.remove(owner);
  }

  override nextKey(): number {
    return -ERRNO.ENOTSUPP;
  }

  protected override freeMap(): void {
    this.kernel.objects.onRemove.delete(this.#ownerGone);
    for (const owner of [...this.#owners]) {
      const value = this.kernel.vm.exports.storageTake(this.guest, owner) >>> 0;
      this.kernel.fields.gone(this, value);
      this.kernel.memory.free(value);
    }
    this.kernel.vm.exports.storageFree(this.guest);
    super.freeMap();
  }
}
