import { ACCESS_RO, ACCESS_RW, TRIE_PREFIXLEN_BYTES } from '../../../assembly/abi.js';
import { BTF_KIND } from '../../btf/types.js';
import { ERRNO, ErrnoError } from '../../errno.js';
import { BPF_EXIST, BPF_MAP_FLAG, BPF_NOEXIST } from '../../uapi.js';
import type { ForeignMap } from '../../vm/map.js';
import { type TrieNode, TrieNodes, type TrieSlot } from '../../vm/trie.js';
import type { GuestPtr } from '../../vm/types.js';
import type { Kernel } from '../kernel.js';
import { ACCESS_FLAGS, accessOk, KMALLOC_MAX_SIZE } from './alloc_check.js';
import { HostMap } from './host_map.js';
import type { BatchOps, BpfMap, MapCreateAttr } from './map.js';

// BPF_MAP_TYPE_LPM_TRIE (kernel: kernel/bpf/lpm_trie.c). A key is { u32 prefixlen, bytes }. Every node stands for a prefix; its
// children continue it with a 0 or a 1. Nodes that only fork have two children and no value.

const MAX_DATA = 256;
/** sizeof(struct lpm_trie_node), which limits the value size. */
const NODE_BYTES = 40;
const FLAGS = BPF_MAP_FLAG.NO_PREALLOC | BPF_MAP_FLAG.NUMA_NODE | ACCESS_FLAGS;
const BATCH: BatchOps = { lookup: true, lookupAndDelete: false, update: true, delete: true };

function bit(data: Uint8Array, index: number): 0 | 1 {
  return ((data[index >> 3]! >> (7 - (index & 7))) & 1) as 0 | 1;
}

/** Kernel: trie_alloc. */
export function lpmTrieAlloc(kernel: Kernel, attr: MapCreateAttr): BpfMap | number {
  const { key_size: keySize, value_size: valueSize, map_flags: flags } = attr;
  if (
    attr.max_entries === 0 ||
    (flags & BPF_MAP_FLAG.NO_PREALLOC) === 0 ||
    (flags & ~FLAGS) !== 0 ||
    !accessOk(flags) ||
    keySize < TRIE_PREFIXLEN_BYTES + 1 ||
    keySize > TRIE_PREFIXLEN_BYTES + MAX_DATA ||
    valueSize < 1 ||
    valueSize > KMALLOC_MAX_SIZE - MAX_DATA - NODE_BYTES
  ) {
    return -ERRNO.EINVAL;
  }
  return new LpmTrieMap(kernel, attr);
}

export class LpmTrieMap extends HostMap {
  readonly #maxPrefixlen: number;
  readonly #nodes: TrieNodes;
  #entries = 0;

  constructor(kernel: Kernel, attr: MapCreateAttr) {
    super(kernel, attr);
    const bytes = attr.key_size - TRIE_PREFIXLEN_BYTES;
    this.#maxPrefixlen = bytes * 8;
    const nodes = TrieNodes.create(kernel.vm, this.guest, bytes);
    if (!nodes) {
      super.freeMap();
      throw new ErrnoError(ERRNO.ENOMEM, 'the root of a trie');
    }
    this.#nodes = nodes;
  }

  /** Look-ups of programs are the core's once the map is there (assembly/map/trie.ts). */
  protected override elementHelpers(): ForeignMap {
    const { memory } = this.kernel;
    const key = (ptr: GuestPtr) => memory.bytes(ptr, this.keySize).slice();
    return {
      lookup: (ptr) => this.#find(key(ptr)),
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
    return prefixlen > this.#maxPrefixlen ? null : { prefixlen, data: key.subarray(TRIE_PREFIXLEN_BYTES) };
  }

  /** The value of the longest prefix of a key, or 0. */
  #find(key: Uint8Array): GuestPtr {
    const parsed = this.#parse(key);
    const nodes = this.#nodes;
    let found: GuestPtr = 0;
    for (let node = parsed ? nodes.at(nodes.root) : 0; parsed && node !== 0; ) {
      const prefixlen = nodes.prefixlen(node);
      const length = this.#matchLength(node, parsed.data, parsed.prefixlen);
      if (length < prefixlen) break;
      if (nodes.value(node) !== 0) found = nodes.value(node);
      if (length === this.#maxPrefixlen) break;
      node = nodes.child(node, bit(parsed.data, prefixlen));
    }
    return found;
  }

  override lookupElem(key: Uint8Array, value: Uint8Array): number {
    const found = this.#find(key);
    if (found === 0) return -ERRNO.ENOENT;
    value.set(this.kernel.memory.bytes(found, this.valueSize));
    return 0;
  }

  /** Bits that a node and a key have in common, at most the length of the shorter. */
  #matchLength(node: TrieNode, data: Uint8Array, prefixlen: number): number {
    const own = this.#nodes.data(node);
    const limit = Math.min(this.#nodes.prefixlen(node), prefixlen);
    for (let i = 0; i * 8 < limit; i++) {
      const difference = own[i]! ^ data[i]!;
      if (difference !== 0) return Math.min(i * 8 + Math.clz32(difference) - 24, limit);
    }
    return limit;
  }

  /** The slots from the root down to the node that the key is or would be at; the last may be empty. */
  #path(prefixlen: number, data: Uint8Array): TrieSlot[] {
    const nodes = this.#nodes;
    const path = [nodes.root];
    for (;;) {
      const node = nodes.at(path.at(-1)!);
      if (node === 0) return path;
      const own = nodes.prefixlen(node);
      if (own === prefixlen || this.#matchLength(node, data, prefixlen) !== own) return path;
      path.push(nodes.childSlot(node, bit(data, own)));
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
    if (fresh === 0) return -ERRNO.ENOMEM;
    const result = this.#insert(fresh, parsed.prefixlen, parsed.data, flags);
    if (result < 0) this.#drop(fresh);
    return result;
  }

  /** A node and its value that no program has seen. */
  #drop(node: TrieNode): void {
    this.kernel.memory.free(this.#nodes.value(node));
    this.#nodes.free(node);
  }

  #newNode(prefixlen: number, data: Uint8Array, value: Uint8Array): TrieNode {
    const { memory } = this.kernel;
    const access = (this.flags & BPF_MAP_FLAG.RDONLY_PROG) !== 0 ? ACCESS_RO : ACCESS_RW;
    try {
      const ptr = memory.alloc(this.valueSize, { access, name: `map "${this.name}" value` });
      memory.bytes(ptr, this.valueSize).set(value);
      const node = this.#nodes.make(data, prefixlen, ptr);
      if (node === 0) memory.free(ptr);
      return node;
    } catch (error) {
      if (error instanceof ErrnoError) return 0;
      throw error;
    }
  }

  #insert(fresh: TrieNode, prefixlen: number, data: Uint8Array, flags: number): number {
    const nodes = this.#nodes;
    const slot = this.#path(prefixlen, data).at(-1)!;
    const node = nodes.at(slot);
    const own = node === 0 ? 0 : nodes.prefixlen(node);
    const length = node === 0 ? 0 : this.#matchLength(node, data, prefixlen);
    const there = node !== 0 && own === length && nodes.value(node) !== 0;
    if (there && flags === BPF_NOEXIST) return -ERRNO.EEXIST;
    let fork: TrieNode = 0;
    if (node !== 0 && own !== length && length !== prefixlen) {
      fork = nodes.make(nodes.data(node).slice(), length, 0);
      if (fork === 0) return -ERRNO.ENOMEM;
    }
    const refused = there ? 0 : this.#count(flags);
    if (refused < 0) {
      if (fork !== 0) nodes.free(fork);
      return refused;
    }
    if (node === 0) {
      nodes.put(slot, fresh);
    } else if (own === length) {
      for (const side of [0, 1] as const) nodes.put(nodes.childSlot(fresh, side), nodes.child(node, side));
      nodes.put(slot, fresh);
      this.#freeLater(node);
      nodes.free(node);
    } else if (fork === 0) {
      nodes.put(nodes.childSlot(fresh, bit(nodes.data(node), length)), node);
      nodes.put(slot, fresh);
    } else {
      const side = bit(data, length);
      nodes.put(nodes.childSlot(fork, side), fresh);
      nodes.put(nodes.childSlot(fork, side === 0 ? 1 : 0), node);
      nodes.put(slot, fork);
    }
    return 0;
  }

  /** Programs may look at a node's value until their section ends (kernel: bpf_mem_cache_free_rcu). */
  #freeLater(node: TrieNode): void {
    const value = this.#nodes.value(node);
    if (value !== 0) this.kernel.rcu.call(() => this.kernel.memory.free(value), 'rcu');
  }

  override deleteElem(key: Uint8Array): number {
    const parsed = this.#parse(key);
    if (!parsed) return -ERRNO.EINVAL;
    const nodes = this.#nodes;
    const path = this.#path(parsed.prefixlen, parsed.data);
    const slot = path.at(-1)!;
    const node = nodes.at(slot);
    if (
      node === 0 ||
      nodes.value(node) === 0 ||
      nodes.prefixlen(node) !== parsed.prefixlen ||
      this.#matchLength(node, parsed.data, parsed.prefixlen) !== parsed.prefixlen
    ) {
      return -ERRNO.ENOENT;
    }
    this.#entries--;
    this.#freeLater(node);
    const [left, right] = [nodes.child(node, 0), nodes.child(node, 1)];
    if (left !== 0 && right !== 0) {
      nodes.setValue(node, 0);
      return 0;
    }
    const parentSlot = path.at(-2);
    const parent = parentSlot === undefined ? 0 : nodes.at(parentSlot);
    if (parent !== 0 && nodes.value(parent) === 0 && left === 0 && right === 0) {
      nodes.put(parentSlot!, nodes.child(parent, nodes.child(parent, 0) === node ? 1 : 0));
      nodes.free(parent);
    } else {
      nodes.put(slot, left || right);
    }
    nodes.free(node);
    return 0;
  }

  /** In postorder: more specific prefixes come before those that they continue. */
  override nextKey(key: Uint8Array | null, next: Uint8Array): number {
    const nodes = this.#nodes;
    if (nodes.at(nodes.root) === 0) return -ERRNO.ENOENT;
    const found = this.#after(key);
    if (found === 0) return -ERRNO.ENOENT;
    new DataView(next.buffer, next.byteOffset).setUint32(0, nodes.prefixlen(found), true);
    next.set(nodes.data(found), TRIE_PREFIXLEN_BYTES);
    return 0;
  }

  /** The node after the key's, 0 behind the last; for keys that are not there the first. */
  #after(key: Uint8Array | null): TrieNode {
    const nodes = this.#nodes;
    const first = nodes.at(nodes.root);
    const parsed = key && this.#parse(key);
    if (!parsed) return this.#leftmost(first);
    const path = this.#path(parsed.prefixlen, parsed.data);
    let node = nodes.at(path.pop()!);
    if (
      node === 0 ||
      nodes.value(node) === 0 ||
      this.#matchLength(node, parsed.data, parsed.prefixlen) !== nodes.prefixlen(node)
    ) {
      return this.#leftmost(first);
    }
    while (path.length > 0) {
      const parent = nodes.at(path.pop()!);
      const right = nodes.child(parent, 1);
      if (nodes.child(parent, 0) === node && right !== 0) return this.#leftmost(right);
      if (nodes.value(parent) !== 0) return parent;
      node = parent;
    }
    return 0;
  }

  /** The first node with a value in postorder. Forks have two children, so that there is one. */
  #leftmost(root: TrieNode): TrieNode {
    const nodes = this.#nodes;
    let found = root;
    for (let node = root; node !== 0; ) {
      if (nodes.value(node) !== 0) found = node;
      node = nodes.child(node, 0) || nodes.child(node, 1);
    }
    return found;
  }

  protected override freeMap(): void {
    const nodes = this.#nodes;
    const left = [nodes.at(nodes.root)];
    nodes.put(nodes.root, 0);
    for (let node = left.pop(); node !== undefined; node = left.pop()) {
      if (node === 0) continue;
      left.push(nodes.child(node, 0), nodes.child(node, 1));
      if (nodes.value(node) !== 0) this.kernel.memory.free(nodes.value(node));
      nodes.free(node);
    }
    nodes.dispose(this.guest);
    super.freeMap();
  }
}
