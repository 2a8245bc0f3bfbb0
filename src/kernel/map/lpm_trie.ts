import { ACCESS_RO, ACCESS_RW } from '../../../assembly/abi.js';
import { BTF_KIND } from '../../btf/types.js';
import { ERRNO, ErrnoError } from '../../errno.js';
import { BPF_EXIST, BPF_MAP_FLAG, BPF_NOEXIST } from '../../uapi.js';
import type { ForeignMap } from '../../vm/map.js';
import type { GuestPtr } from '../../vm/types.js';
import type { Kernel } from '../kernel.js';
import { ACCESS_FLAGS, accessOk, KMALLOC_MAX_SIZE } from './alloc_check.js';
import { HostMap } from './host_map.js';
import type { BatchOps, BpfMap, MapCreateAttr } from './map.js';

// BPF_MAP_TYPE_LPM_TRIE (kernel: kernel/bpf/lpm_trie.c). A key is { u32 prefixlen, bytes }. Every node stands for a prefix; its
// children continue it with a 0 or a 1. Nodes that only fork have two children and no value.

const PREFIXLEN_BYTES = 4;
const MAX_DATA = 256;
/** sizeof(struct lpm_trie_node), which limits the value size. */
const NODE_BYTES = 40;
const FLAGS = BPF_MAP_FLAG.NO_PREALLOC | BPF_MAP_FLAG.NUMA_NODE | ACCESS_FLAGS;
const BATCH: BatchOps = { lookup: true, lookupAndDelete: false, update: true, delete: true };

interface Node {
  readonly data: Uint8Array;
  readonly prefixlen: number;
  /** Guest address of the value; 0: the node only forks. */
  value: GuestPtr;
  readonly child: [Node | null, Node | null];
}

/** Where a node hangs: the root, or a child of another. */
interface Slot {
  get(): Node | null;
  set(node: Node | null): void;
}

function bit(data: Uint8Array, index: number): 0 | 1 {
  return ((data[index >> 3]! >> (7 - (index & 7))) & 1) as 0 | 1;
}

/** Bits that two prefixes have in common, at most the length of the shorter. */
function matchLength(node: Node, data: Uint8Array, prefixlen: number): number {
  const limit = Math.min(node.prefixlen, prefixlen);
  for (let i = 0; i * 8 < limit; i++) {
    const difference = node.data[i]! ^ data[i]!;
    if (difference !== 0) return Math.min(i * 8 + Math.clz32(difference) - 24, limit);
  }
  return limit;
}

/** Kernel: trie_alloc. */
export function lpmTrieAlloc(kernel: Kernel, attr: MapCreateAttr): BpfMap | number {
  const { key_size: keySize, value_size: valueSize, map_flags: flags } = attr;
  if (
    attr.max_entries === 0 ||
    (flags & BPF_MAP_FLAG.NO_PREALLOC) === 0 ||
    (flags & ~FLAGS) !== 0 ||
    !accessOk(flags) ||
    keySize < PREFIXLEN_BYTES + 1 ||
    keySize > PREFIXLEN_BYTES + MAX_DATA ||
    valueSize < 1 ||
    valueSize > KMALLOC_MAX_SIZE - MAX_DATA - NODE_BYTES
  ) {
    return -ERRNO.EINVAL;
  }
  return new LpmTrieMap(kernel, attr);
}

export class LpmTrieMap extends HostMap {
  readonly #maxPrefixlen: number;
  #root: Node | null = null;
  #entries = 0;

  constructor(kernel: Kernel, attr: MapCreateAttr) {
    super(kernel, attr);
    this.#maxPrefixlen = (attr.key_size - PREFIXLEN_BYTES) * 8;
  }

  protected override elementHelpers(): ForeignMap {
    const { memory } = this.kernel;
    const key = (ptr: GuestPtr) => memory.bytes(ptr, this.keySize).slice();
    return {
      lookup: (ptr) => this.#find(key(ptr))?.value ?? 0,
      update: (ptr, value, flags) => this.updateElem(key(ptr), memory.bytes(value, this.valueSize).slice(), flags),
      delete: (ptr) => this.deleteElem(key(ptr)),
    };
  }

  override get batchOps(): BatchOps {
    return BATCH;
  }

  /** Kernel: trie_check_btf. */
  override checkBtf(): number {
    const { view } = this.btf!;
    return view.kindOf(view.resolve(this.btfKeyTypeId)) === BTF_KIND.STRUCT ? 0 : -ERRNO.EINVAL;
  }

  /** Prefix length and bytes of a key, null if it is longer than the trie's keys. */
  #parse(key: Uint8Array): { prefixlen: number; data: Uint8Array } | null {
    const prefixlen = new DataView(key.buffer, key.byteOffset).getUint32(0, true);
    return prefixlen > this.#maxPrefixlen ? null : { prefixlen, data: key.subarray(PREFIXLEN_BYTES) };
  }

  /** The node of the longest prefix of `key`. */
  #find(key: Uint8Array): Node | null {
    const parsed = this.#parse(key);
    if (!parsed) return null;
    let found: Node | null = null;
    for (let node = this.#root; node; ) {
      const length = matchLength(node, parsed.data, parsed.prefixlen);
      if (length === this.#maxPrefixlen) return node;
      if (length < node.prefixlen) break;
      if (node.value !== 0) found = node;
      node = node.child[bit(parsed.data, node.prefixlen)];
    }
    return found;
  }

  override lookupElem(key: Uint8Array, value: Uint8Array): number {
    const node = this.#find(key);
    if (!node) return -ERRNO.ENOENT;
    value.set(this.kernel.memory.bytes(node.value, this.valueSize));
    return 0;
  }

  #rootSlot(): Slot {
    return {
      get: () => this.#root,
      set: (node) => {
        this.#root = node;
      },
    };
  }

  /** The slots from the root down to the node that the key is or would be at; the last may be empty. */
  #path(prefixlen: number, data: Uint8Array): Slot[] {
    const path = [this.#rootSlot()];
    for (;;) {
      const node = path.at(-1)!.get();
      if (!node || node.prefixlen === prefixlen || matchLength(node, data, prefixlen) !== node.prefixlen) return path;
      const side = bit(data, node.prefixlen);
      path.push({
        get: () => node.child[side],
        set: (child) => {
          node.child[side] = child;
        },
      });
    }
  }

  /** One entry more, or -errno. */
  #count(flags: number): number {
    if (flags === BPF_EXIST) return -ERRNO.ENOENT;
    if (this.#entries === this.maxEntries) return -ERRNO.ENOSPC;
    this.#entries++;
    return 0;
  }

  override updateElem(key: Uint8Array, value: Uint8Array, flags: number): number {
    const parsed = this.#parse(key);
    if (flags > BPF_EXIST || !parsed) return -ERRNO.EINVAL;
    const fresh = this.#newNode(parsed.prefixlen, parsed.data, value);
    if (!fresh) return -ERRNO.ENOMEM;
    const result = this.#insert(fresh, flags);
    if (result < 0) this.kernel.memory.free(fresh.value);
    return result;
  }

  #newNode(prefixlen: number, data: Uint8Array, value: Uint8Array): Node | null {
    const { memory } = this.kernel;
    const access = (this.flags & BPF_MAP_FLAG.RDONLY_PROG) !== 0 ? ACCESS_RO : ACCESS_RW;
    try {
      const ptr = memory.alloc(this.valueSize, { access, name: `map "${this.name}" value` });
      memory.bytes(ptr, this.valueSize).set(value);
      return { data, prefixlen, value: ptr, child: [null, null] };
    } catch (error) {
      if (error instanceof ErrnoError) return null;
      throw error;
    }
  }

  #insert(fresh: Node, flags: number): number {
    const { data, prefixlen } = fresh;
    const slot = this.#path(prefixlen, data).at(-1)!;
    const node = slot.get();
    const length = node ? matchLength(node, data, prefixlen) : 0;
    if (node && node.prefixlen === length && node.value !== 0) {
      if (flags === BPF_NOEXIST) return -ERRNO.EEXIST;
    } else {
      const refused = this.#count(flags);
      if (refused < 0) return refused;
    }
    if (!node) {
      slot.set(fresh);
    } else if (node.prefixlen === length) {
      fresh.child[0] = node.child[0];
      fresh.child[1] = node.child[1];
      slot.set(fresh);
      this.#freeLater(node);
    } else if (length === prefixlen) {
      fresh.child[bit(node.data, length)] = node;
      slot.set(fresh);
    } else {
      const fork: Node = { data: node.data, prefixlen: length, value: 0, child: [null, null] };
      const side = bit(data, length);
      fork.child[side] = fresh;
      fork.child[side === 0 ? 1 : 0] = node;
      slot.set(fork);
    }
    return 0;
  }

  /** Programs may look at a value until their section ends (kernel: bpf_mem_cache_free_rcu). */
  #freeLater(node: Node): void {
    const { value } = node;
    if (value !== 0) this.kernel.rcu.call(() => this.kernel.memory.free(value), 'rcu');
  }

  override deleteElem(key: Uint8Array): number {
    const parsed = this.#parse(key);
    if (!parsed) return -ERRNO.EINVAL;
    const path = this.#path(parsed.prefixlen, parsed.data);
    const slot = path.at(-1)!;
    const node = slot.get();
    if (
      !node ||
      node.value === 0 ||
      node.prefixlen !== parsed.prefixlen ||
      matchLength(node, parsed.data, parsed.prefixlen) !== node.prefixlen
    ) {
      return -ERRNO.ENOENT;
    }
    this.#entries--;
    this.#freeLater(node);
    const [left, right] = node.child;
    const parentSlot = path.at(-2);
    const parent = parentSlot?.get();
    if (left && right) {
      node.value = 0;
    } else if (parent?.value === 0 && !left && !right) {
      parentSlot!.set(parent.child[0] === node ? parent.child[1] : parent.child[0]);
    } else {
      slot.set(left ?? right);
    }
    return 0;
  }

  /** In postorder: more specific prefixes come before those that they continue. */
  override nextKey(key: Uint8Array | null, next: Uint8Array): number {
    if (!this.#root) return -ERRNO.ENOENT;
    const found = this.#after(key);
    if (!found) return -ERRNO.ENOENT;
    new DataView(next.buffer, next.byteOffset).setUint32(0, found.prefixlen, true);
    next.set(found.data, PREFIXLEN_BYTES);
    return 0;
  }

  /** The node after the key's, null behind the last; for keys that are not there the first. */
  #after(key: Uint8Array | null): Node | null {
    const parsed = key && this.#parse(key);
    if (!parsed) return leftmost(this.#root!);
    const path = this.#path(parsed.prefixlen, parsed.data);
    let node = path.pop()!.get();
    if (!node || node.value === 0 || matchLength(node, parsed.data, parsed.prefixlen) !== node.prefixlen) {
      return leftmost(this.#root!);
    }
    while (path.length > 0) {
      const parent: Node = path.pop()!.get()!;
      if (parent.child[0] === node && parent.child[1]) return leftmost(parent.child[1]);
      if (parent.value !== 0) return parent;
      node = parent;
    }
    return null;
  }

  protected override freeMap(): void {
    const nodes = this.#root ? [this.#root] : [];
    for (let node = nodes.pop(); node; node = nodes.pop()) {
      if (node.value !== 0) this.kernel.memory.free(node.value);
      for (const child of node.child) if (child) nodes.push(child);
    }
    this.#root = null;
    super.freeMap();
  }
}

/** The first node with a value in postorder. Forks have two children, so that there is one. */
function leftmost(root: Node): Node {
  let found = root;
  for (let node: Node | null = root; node; ) {
    if (node.value !== 0) found = node;
    node = node.child[0] ?? node.child[1];
  }
  return found;
}
