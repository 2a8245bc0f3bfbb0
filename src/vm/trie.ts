import * as abi from '../../assembly/abi.js';
import type { GuestPtr } from './types.js';
import type { Vm } from './vm.js';

/** Core address of a node; 0 for none. */
export type TrieNode = number;
/** Core address of the word that names a node: the root's, or a child's in its parent. */
export type TrieSlot = number;

/** The nodes of an LPM trie, in the core heap, where the core's look-ups find them. Layout: TRIE_* of assembly/abi.ts. */
export class TrieNodes {
  /** The root's. */
  readonly root: TrieSlot;

  /** For the map whose struct is at `map`, with prefixes of so many bytes. Undefined if there is no memory for it. */
  static create(vm: Vm, map: GuestPtr, dataBytes: number): TrieNodes | undefined {
    const root = vm.exports.heapAllocZeroed(4) >>> 0;
    return root === 0 ? undefined : new TrieNodes(vm, root, map, dataBytes);
  }

  private constructor(
    private readonly vm: Vm,
    root: TrieSlot,
    map: GuestPtr,
    private readonly dataBytes: number,
  ) {
    this.root = root;
    vm.memory.setU32At((vm.exports.mapRecord(map) >>> 0) + abi.MAP_TRIE, root);
  }

  /** A node without children; 0 if there is no memory for it. */
  make(data: Uint8Array, prefixlen: number, value: GuestPtr): TrieNode {
    const { exports, memory } = this.vm;
    const node = exports.heapAllocZeroed(abi.TRIE_DATA + ((this.dataBytes + 7) & ~7)) >>> 0;
    if (node === 0) return 0;
    memory.setU32At(node + abi.TRIE_PREFIXLEN, prefixlen);
    memory.setU32At(node + abi.TRIE_VALUE, value);
    memory.bytesAt(node + abi.TRIE_DATA, this.dataBytes).set(data);
    return node;
  }

  /** Gives back one that no slot names any more. */
  free(node: TrieNode): void {
    this.vm.exports.heapFree(node);
  }

  /** Gives back the root's slot, before the map goes. */
  dispose(map: GuestPtr): void {
    this.vm.memory.setU32At((this.vm.exports.mapRecord(map) >>> 0) + abi.MAP_TRIE, 0);
    this.vm.exports.heapFree(this.root);
  }

  at(slot: TrieSlot): TrieNode {
    return this.vm.memory.u32At(slot);
  }

  put(slot: TrieSlot, node: TrieNode): void {
    this.vm.memory.setU32At(slot, node);
  }

  childSlot(node: TrieNode, side: 0 | 1): TrieSlot {
    return node + abi.TRIE_CHILDREN + 4 * side;
  }

  child(node: TrieNode, side: 0 | 1): TrieNode {
    return this.at(this.childSlot(node, side));
  }

  prefixlen(node: TrieNode): number {
    return this.vm.memory.u32At(node + abi.TRIE_PREFIXLEN);
  }

  value(node: TrieNode): GuestPtr {
    return this.vm.memory.u32At(node + abi.TRIE_VALUE);
  }

  setValue(node: TrieNode, value: GuestPtr): void {
    this.vm.memory.setU32At(node + abi.TRIE_VALUE, value);
  }

  /** A view, good until memory is next allocated. */
  data(node: TrieNode): Uint8Array {
    return this.vm.memory.bytesAt(node + abi.TRIE_DATA, this.dataBytes);
  }
}
