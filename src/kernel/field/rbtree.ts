// A red-black tree without keys: whoever inserts says where. It rotates as the kernel's does (lib/rbtree.c), so that programs
// that walk one (bpf_rbtree_root, _left, _right) see the kernel's shape.

/** A node that is, or is not, in a tree. */
export class RbNode<T> {
  parent: RbNode<T> | null = null;
  left: RbNode<T> | null = null;
  right: RbNode<T> | null = null;
  red = false;

  constructor(readonly item: T) {}
}

export class RbTree<T> {
  root: RbNode<T> | null = null;
  /** The first in order (kernel: struct rb_root_cached). */
  leftmost: RbNode<T> | null = null;

  /** Puts a new node in order: to the left of those that it is less than, to the right of all others. */
  insert(node: RbNode<T>, less: (other: RbNode<T>) => boolean): void {
    let parent: RbNode<T> | null = null;
    let toLeft = false;
    let first = true;
    for (let at = this.root; at; at = toLeft ? at.left : at.right) {
      parent = at;
      toLeft = less(at);
      if (!toLeft) first = false;
    }
    node.parent = parent;
    node.left = null;
    node.right = null;
    node.red = true;
    if (first) this.leftmost = node;
    if (!parent) this.root = node;
    else if (toLeft) parent.left = node;
    else parent.right = node;
    this.#balanceInsert(node);
  }

  /** Takes a node of this tree out. */
  remove(node: RbNode<T>): void {
    if (this.leftmost === node) this.leftmost = next(node);
    const { left, right, parent } = node;
    if (!left || !right) {
      const child = left ?? right;
      this.#replace(node, child, parent);
      // A node with one child is black and the child red: the child takes its colour.
      if (child) child.red = node.red;
      else if (!node.red) this.#balanceRemove(parent);
    } else {
      this.#removeInner(node, left, right);
    }
    node.parent = null;
    node.left = null;
    node.right = null;
  }

  /** The next one in order takes the place and colour of a node with two children. */
  #removeInner(node: RbNode<T>, left: RbNode<T>, right: RbNode<T>): void {
    let heir = right;
    while (heir.left) heir = heir.left;
    const child = heir.right;
    const wasRed = heir.red;
    let holder = heir;
    if (heir !== right) {
      holder = heir.parent!;
      holder.left = child;
      if (child) child.parent = holder;
      heir.right = right;
      right.parent = heir;
    }
    heir.left = left;
    left.parent = heir;
    this.#replace(node, heir, node.parent);
    heir.red = node.red;
    if (child) child.red = false;
    else if (!wasRed) this.#balanceRemove(holder);
  }

  /** Empties the tree; its nodes, children before their parent (kernel: rb_first_postorder, rb_next_postorder). */
  drain(): RbNode<T>[] {
    const order: RbNode<T>[] = [];
    const open = this.root ? [this.root] : [];
    for (let node = open.pop(); node; node = open.pop()) {
      order.push(node);
      if (node.left) open.push(node.left);
      if (node.right) open.push(node.right);
    }
    order.reverse();
    this.root = null;
    this.leftmost = null;
    for (const node of order) {
      node.parent = null;
      node.left = null;
      node.right = null;
    }
    return order;
  }

  #replace(node: RbNode<T>, by: RbNode<T> | null, parent: RbNode<T> | null): void {
    if (!parent) this.root = by;
    else if (parent.left === node) parent.left = by;
    else parent.right = by;
    if (by) by.parent = parent;
  }

  /** `child` of `node` comes to stand above it. */
  #rotate(node: RbNode<T>, child: RbNode<T>): void {
    const { parent } = node;
    if (node.left === child) {
      node.left = child.right;
      if (child.right) child.right.parent = node;
      child.right = node;
    } else {
      node.right = child.left;
      if (child.left) child.left.parent = node;
      child.left = node;
    }
    this.#replace(node, child, parent);
    node.parent = child;
  }

  /** No red node below a red one. */
  #balanceInsert(inserted: RbNode<T>): void {
    let node = inserted;
    for (;;) {
      let parent = node.parent;
      if (!parent) {
        node.red = false;
        return;
      }
      if (!parent.red) return;
      // A red node is no root: there is a grandparent.
      const grand = parent.parent!;
      const isLeft = grand.left === parent;
      const uncle = isLeft ? grand.right : grand.left;
      if (uncle?.red) {
        parent.red = false;
        uncle.red = false;
        grand.red = true;
        node = grand;
        continue;
      }
      if (node === (isLeft ? parent.right : parent.left)) {
        this.#rotate(parent, node);
        parent = node;
      }
      this.#rotate(grand, parent);
      parent.red = false;
      grand.red = true;
      return;
    }
  }

  /** One side of `from`, the empty one at first, lacks a black node. */
  #balanceRemove(from: RbNode<T> | null): void {
    let node: RbNode<T> | null = null;
    let parent = from;
    while (parent) {
      const isLeft: boolean = parent.left === node;
      let sibling: RbNode<T> = (isLeft ? parent.right : parent.left)!;
      if (sibling.red) {
        this.#rotate(parent, sibling);
        sibling.red = false;
        parent.red = true;
        sibling = (isLeft ? parent.right : parent.left)!;
      }
      let far = isLeft ? sibling.right : sibling.left;
      if (!far?.red) {
        const near = isLeft ? sibling.left : sibling.right;
        if (!near?.red) {
          sibling.red = true;
          if (parent.red) {
            parent.red = false;
            return;
          }
          node = parent;
          parent = node.parent;
          continue;
        }
        this.#rotate(sibling, near);
        far = sibling;
        sibling = near;
      }
      this.#rotate(parent, sibling);
      sibling.red = parent.red;
      parent.red = false;
      far.red = false;
      return;
    }
  }
}

/** The node after this one in order. */
function next<T>(node: RbNode<T>): RbNode<T> | null {
  if (node.right) {
    let at = node.right;
    while (at.left) at = at.left;
    return at;
  }
  let child = node;
  let parent = node.parent;
  while (parent && parent.right === child) {
    child = parent;
    parent = parent.parent;
  }
  return parent;
}
