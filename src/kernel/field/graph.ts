import { ERRNO } from '../../errno.js';
import { VmtableError } from '../../errors.js';
import type { GuestPtr, HostCall } from '../../vm/types.js';
import type { Kernel } from '../kernel.js';
import type { Place } from './holders.js';
import type { LocalObject } from './objects.js';
import { RbNode, RbTree } from './rbtree.js';

// Linked lists and red-black trees of programs' objects (kernel: bpf_list_* and bpf_rbtree_* in kernel/bpf/helpers.c). What
// links a node is kept here and not in guest memory, where a program that no verifier has seen could break it.

/** A bpf_list_node or bpf_rb_node of an object, while it is in a list or tree. */
interface Linked {
  readonly ptr: GuestPtr;
  readonly object: LocalObject;
  /** Address of the head or root. */
  readonly owner: GuestPtr;
}

interface ListNode extends Linked {
  prev: ListNode | null;
  next: ListNode | null;
}

interface List {
  first: ListNode | null;
  last: ListNode | null;
}

type TreeNode = RbNode<Linked>;

export class Graph {
  readonly #lists = new Map<GuestPtr, List>();
  readonly #listNodes = new Map<GuestPtr, ListNode>();
  readonly #trees = new Map<GuestPtr, RbTree<Linked>>();
  readonly #treeNodes = new Map<GuestPtr, TreeNode>();
  /** A comparison of bpf_rbtree_add runs: nothing else may touch the tree. */
  #comparing = false;

  constructor(private readonly kernel: Kernel) {}

  register(): void {
    const { kernel } = this;
    for (const suffix of ['', '_impl']) {
      kernel.registerKfunc(`bpf_list_push_front${suffix}`, (call) => {
        call.ret(this.#push(call, () => null));
      });
      kernel.registerKfunc(`bpf_list_push_back${suffix}`, (call) => {
        call.ret(this.#push(call, (list) => list.last));
      });
      kernel.registerKfunc(`bpf_rbtree_add${suffix}`, (call) => {
        call.ret(this.#treeAdd(call));
      });
    }
    kernel.registerKfunc('bpf_list_add', (call) => {
      const after = this.#listNodes.get(call.ptr(2));
      call.ret(this.#push(call, () => after));
    });
    this.#registerListReaders();
    this.#registerTreeReaders();
  }

  #registerListReaders(): void {
    const pick = (name: string, take: boolean, which: (list: List, call: HostCall) => ListNode | null | undefined) =>
      this.kernel.registerKfunc(name, (call) => {
        const head = this.#owner(call, 'bpf_list_head');
        const list = this.#lists.get(head.ptr);
        const node = list && which(list, call);
        if (!node || node.owner !== head.ptr) return call.retPtr(0);
        if (take) {
          this.#unlink(list, node);
          this.kernel.fields.objects.take(call, node.object, name);
        }
        call.retPtr(node.ptr);
      });
    pick('bpf_list_pop_front', true, (list) => list.first);
    pick('bpf_list_pop_back', true, (list) => list.last);
    pick('bpf_list_del', true, (_, call) => this.#listNodes.get(call.ptr(1)));
    pick('bpf_list_front', false, (list) => list.first);
    pick('bpf_list_back', false, (list) => list.last);
    const ask = (name: string, answer: (list: List | undefined, node: ListNode | undefined) => boolean) =>
      this.kernel.registerKfunc(name, (call) => {
        const head = this.#owner(call, 'bpf_list_head');
        const node = name === 'bpf_list_empty' ? undefined : this.#listNodes.get(call.ptr(1));
        const own = node?.owner === head.ptr ? node : undefined;
        call.ret(answer(this.#lists.get(head.ptr), own) ? 1 : 0);
      });
    ask('bpf_list_empty', (list) => list === undefined);
    ask('bpf_list_is_first', (list, node) => node !== undefined && list?.first === node);
    ask('bpf_list_is_last', (list, node) => node !== undefined && list?.last === node);
  }

  #registerTreeReaders(): void {
    const read = (name: string, which: (tree: RbTree<Linked>, call: HostCall) => TreeNode | null | undefined) =>
      this.kernel.registerKfunc(name, (call) => {
        const tree = this.#trees.get(this.#owner(call, 'bpf_rb_root').ptr);
        call.retPtr((tree && which(tree, call)?.item.ptr) ?? 0);
      });
    read('bpf_rbtree_first', (tree) => tree.leftmost);
    read('bpf_rbtree_root', (tree) => tree.root);
    read('bpf_rbtree_left', (_, call) => this.#nodeOf(call)?.left);
    read('bpf_rbtree_right', (_, call) => this.#nodeOf(call)?.right);
    this.kernel.registerKfunc('bpf_rbtree_remove', (call) => {
      const name = 'bpf_rbtree_remove';
      const root = this.#owner(call, 'bpf_rb_root');
      const node = this.#nodeOf(call);
      const tree = this.#trees.get(root.ptr);
      if (!node || !tree) return call.retPtr(0);
      tree.remove(node);
      this.#treeNodes.delete(node.item.ptr);
      if (!tree.root) this.#trees.delete(root.ptr);
      this.kernel.fields.objects.take(call, node.item.object, name);
      call.retPtr(node.item.ptr);
    });
  }

  /** The node that argument 2 names, if it is in the tree of argument 1. */
  #nodeOf(call: HostCall): TreeNode | undefined {
    const node = this.#treeNodes.get(call.ptr(1));
    return node?.item.owner === call.ptr(0) ? node : undefined;
  }

  /** The head or root that argument 1 names, whose lock the program holds. */
  #owner(call: HostCall, kind: 'bpf_list_head' | 'bpf_rb_root'): Place {
    const { holders, locks } = this.kernel.fields;
    const place = holders.field(call, 0, kind);
    if (!locks.guards(place.holder)) {
      call.fail(new VmtableError(`the lock beside the ${kind} of ${holders.describe(place)} must be held`));
    }
    if (this.#comparing) call.fail(new VmtableError(`not allowed in the callback of bpf_rbtree_add`));
    return place;
  }

  /** The node that argument 2 names, of an object that belongs into this list or tree and that the program gives away. */
  #given(call: HostCall, { field, ptr: owner }: Place): Linked {
    const { objects, holders } = this.kernel.fields;
    const kind = field.kind === 'bpf_list_head' ? 'bpf_list_node' : 'bpf_rb_node';
    const node = holders.field(call, 1, kind);
    const object = objects.at(node.holder.ptr);
    if (!object) return call.fail(new VmtableError(`argument 2 is no part of an object of bpf_obj_new`));
    const { btf, typeId, nodeOffset } = field.contains!;
    if (nodeOffset !== node.field.offset || !sameStruct(btf.view, typeId, object.btf.view, object.typeId)) {
      const wanted = `${kind} at offset ${nodeOffset} of struct ${btf.view.nameOf(typeId)}`;
      call.fail(new VmtableError(`expects the ${wanted}, not at offset ${node.field.offset} of ${object.what}`));
    }
    objects.disown(call, object);
    object.shared = true;
    return { ptr: node.ptr, object, owner };
  }

  // ---- Lists ---------------------------------------------------------------------------------------------------------------

  /** Kernel: __bpf_list_add. `after`: the node to stand behind, null for the front, undefined if there is no such node. */
  #push(call: HostCall, after: (list: List) => ListNode | null | undefined): number {
    const head = this.#owner(call, 'bpf_list_head');
    const given = this.#given(call, head);
    const list = this.#lists.get(head.ptr) ?? { first: null, last: null };
    const prev = after(list);
    if (prev === undefined || (prev && prev.owner !== head.ptr) || this.#listNodes.has(given.ptr)) {
      this.kernel.fields.objects.drop(given.object);
      return -ERRNO.EINVAL;
    }
    const next = prev ? prev.next : list.first;
    const node: ListNode = { ...given, prev, next };
    if (prev) prev.next = node;
    else list.first = node;
    if (next) next.prev = node;
    else list.last = node;
    this.#listNodes.set(node.ptr, node);
    this.#lists.set(head.ptr, list);
    return 0;
  }

  #unlink(list: List, node: ListNode): void {
    const { prev, next } = node;
    if (prev) prev.next = next;
    else list.first = next;
    if (next) next.prev = prev;
    else list.last = prev;
    this.#listNodes.delete(node.ptr);
    if (!list.first) this.#lists.delete(node.owner);
  }

  // ---- Trees ---------------------------------------------------------------------------------------------------------------

  /** Kernel: __bpf_rbtree_add. */
  #treeAdd(call: HostCall): number {
    const root = this.#owner(call, 'bpf_rb_root');
    const given = this.#given(call, root);
    const { memory } = this.kernel;
    const { objects } = this.kernel.fields;
    if (this.#treeNodes.has(given.ptr)) {
      objects.drop(given.object);
      return -ERRNO.EINVAL;
    }
    const tree = this.#trees.get(root.ptr) ?? new RbTree<Linked>();
    const node = new RbNode(given);
    const less = call.u64(2);
    const address = memory.address(given.ptr);
    this.#comparing = true;
    try {
      tree.insert(node, (other) => call.callback(less, [address, memory.address(other.item.ptr), 0n, 0n, 0n]) !== 0n);
    } catch (error) {
      objects.drop(given.object);
      throw error;
    } finally {
      this.#comparing = false;
    }
    this.#trees.set(root.ptr, tree);
    this.#treeNodes.set(given.ptr, node);
    return 0;
  }

  // ---- The end -------------------------------------------------------------------------------------------------------------

  /** Kernel: bpf_list_head_free, bpf_rb_root_free. */
  drain(owner: GuestPtr): void {
    const { objects } = this.kernel.fields;
    const list = this.#lists.get(owner);
    for (let node = list?.first; list && node; node = list.first) {
      this.#unlink(list, node);
      objects.drop(node.object);
    }
    const tree = this.#trees.get(owner);
    this.#trees.delete(owner);
    const nodes = tree?.drain() ?? [];
    for (const { item } of nodes) this.#treeNodes.delete(item.ptr);
    for (const { item } of nodes) objects.drop(item.object);
  }
}

/** The same struct of one BTF, or of two loads of it. */
export function sameStruct(
  a: { nameOf(id: number): string; sizeOf(id: number): number },
  idA: number,
  b: { nameOf(id: number): string; sizeOf(id: number): number },
  idB: number,
): boolean {
  return a === b ? idA === idB : a.nameOf(idA) === b.nameOf(idB) && a.sizeOf(idA) === b.sizeOf(idB);
}
