// The order of a function's blocks (reverse postorder), and their dominators (Lengauer and Tarjan, "A fast algorithm for finding
// dominators in a flowgraph", 1979), with explicit stacks in nearly linear time.

import { Cfg, NONE } from './cfg';

/** Bytes of scratch that a block needs: the tables of Order. */
export const SCRATCH_BYTES: u32 = 13 * 4;

/** Depth-first search from one block of a function, and dominators; vertices are numbered in preorder. */
export class Order {
  static order: u32 = 0;
  static reached: u32 = 0;
  private static root: u32 = 0;
  private static vertex: u32 = 0; // block of a vertex
  private static number: u32 = 0; // vertex of a block
  private static parent: u32 = 0;
  private static semi: u32 = 0;
  private static ancestor: u32 = 0;
  private static label: u32 = 0;
  private static dom: u32 = 0;
  private static bucket: u32 = 0;
  private static next: u32 = 0;
  private static edges: u32 = 0; // edges that lead to a vertex: from, next edge; two a vertex
  private static incoming: u32 = 0; // first of them

  @inline private static get(table: u32, i: u32): u32 {
    return load<u32>(table + i * 4);
  }
  @inline private static put(table: u32, i: u32, v: u32): void {
    store<u32>(table + i * 4, v);
  }

  private static table(n: u32): u32 {
    const at = Order.next_;
    Order.next_ += n * 4;
    return at;
  }
  private static next_: u32 = 0;

  static walk(scratch: u32, root: u32, n: u32): void {
    Order.next_ = scratch;
    Order.root = root;
    Order.order = Order.table(n);
    Order.vertex = Order.table(n);
    Order.number = Order.table(n);
    Order.parent = Order.table(n);
    Order.semi = Order.table(n);
    Order.ancestor = Order.table(n);
    Order.label = Order.table(n);
    Order.dom = Order.table(n);
    Order.bucket = Order.table(n);
    Order.next = Order.table(n);
    Order.incoming = Order.table(n);
    Order.edges = Order.table(2 * n);
    memory.fill(Order.number, 255, n * 4);
    // The stack lies in `semi`, how far each vertex is in `label`.
    let top: u32 = 0;
    let reached: u32 = 0;
    let last = n;
    Order.put(Order.semi, 0, 0);
    Order.put(Order.number, root, 0);
    Order.put(Order.vertex, 0, root);
    Order.put(Order.parent, 0, 0);
    Order.put(Order.label, 0, 0);
    reached = 1;
    top = 1;
    while (top) {
      const v = Order.get(Order.semi, top - 1);
      const b = Order.get(Order.vertex, v);
      const step = Order.get(Order.label, v);
      if (step == 2) {
        top--;
        Order.put(Order.order, --last, b);
        continue;
      }
      Order.put(Order.label, v, step + 1);
      // The jump first: what falls through then comes first in reverse postorder.
      const to = step == 0 ? Cfg.taken(b) : Cfg.fall(b);
      if (to == NONE || Order.get(Order.number, to) != NONE) continue;
      const w = reached++;
      Order.put(Order.number, to, w);
      Order.put(Order.vertex, w, to);
      Order.put(Order.parent, w, v);
      Order.put(Order.label, w, 0);
      Order.put(Order.semi, top++, w);
    }
    Order.reached = reached;
    Order.order += last * 4;
    for (let i: u32 = 0; i < reached; i++) Cfg.setRpo(Order.get(Order.order, i), i);
  }

  private static addEdges(): void {
    memory.fill(Order.incoming, 255, Order.reached * 4);
    for (let v: u32 = 0; v < Order.reached; v++) {
      const b = Order.get(Order.vertex, v);
      for (let k: u32 = 0; k < 2; k++) {
        const to = k ? Cfg.taken(b) : Cfg.fall(b);
        const edge = 2 * v + k;
        if (to == NONE) continue;
        const w = Order.get(Order.number, to);
        Order.put(Order.edges, edge, Order.get(Order.incoming, w));
        Order.put(Order.incoming, w, edge);
      }
    }
  }

  static dominators(): void {
    Order.addEdges();
    const n = Order.reached;
    for (let v: u32 = 0; v < n; v++) {
      Order.put(Order.semi, v, v);
      Order.put(Order.label, v, v);
      Order.put(Order.ancestor, v, NONE);
      Order.put(Order.bucket, v, NONE);
    }
    for (let w = n; w-- > 1; ) {
      const p = Order.get(Order.parent, w);
      for (let edge = Order.get(Order.incoming, w); edge != NONE; edge = Order.get(Order.edges, edge)) {
        const u = Order.evaluate(edge >> 1);
        const semi = Order.get(Order.semi, u);
        if (Order.get(Order.semi, w) > semi) Order.put(Order.semi, w, semi);
      }
      const semi = Order.get(Order.semi, w);
      Order.put(Order.next, w, Order.get(Order.bucket, semi));
      Order.put(Order.bucket, semi, w);
      Order.put(Order.ancestor, w, p);
      for (let v = Order.get(Order.bucket, p); v != NONE; v = Order.get(Order.next, v)) {
        const u = Order.evaluate(v);
        Order.put(Order.dom, v, Order.get(Order.semi, u) < Order.get(Order.semi, v) ? u : p);
      }
      Order.put(Order.bucket, p, NONE);
    }
    for (let w: u32 = 1; w < n; w++) {
      let d = Order.get(Order.dom, w);
      if (d != Order.get(Order.semi, w)) {
        d = Order.get(Order.dom, d);
        Order.put(Order.dom, w, d);
      }
      Cfg.setIdom(Order.get(Order.vertex, w), Order.get(Order.vertex, d));
    }
    Cfg.setIdom(Order.root, Order.root);
  }

  /** Vertex of the least semidominator between v and the root of its tree; the path is compressed. */
  private static evaluate(v: u32): u32 {
    if (Order.get(Order.ancestor, v) == NONE) return v;
    // The path, from v upwards, is kept in `number`, which is no longer needed.
    let top: u32 = 0;
    let u = v;
    while (Order.get(Order.ancestor, Order.get(Order.ancestor, u)) != NONE) {
      Order.put(Order.number, top++, u);
      u = Order.get(Order.ancestor, u);
    }
    while (top) {
      u = Order.get(Order.number, --top);
      const a = Order.get(Order.ancestor, u);
      const best = Order.get(Order.label, a);
      if (Order.get(Order.semi, best) < Order.get(Order.semi, Order.get(Order.label, u)))
        Order.put(Order.label, u, best);
      Order.put(Order.ancestor, u, Order.get(Order.ancestor, a));
    }
    return Order.get(Order.label, v);
  }
}
