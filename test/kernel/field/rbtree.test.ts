import fc from 'fast-check';
import { expect, it } from 'vitest';
import { RbNode, RbTree } from '../../../src/kernel/field/rbtree.js';

type Node = RbNode<number>;

/** Black nodes on the way down, or -1 if the ways differ or a red node has a red child. */
function blackHeight(node: Node | null, parentRed = false): number {
  if (!node) return 0;
  if (node.red && parentRed) return -1;
  const left = blackHeight(node.left, node.red);
  const right = blackHeight(node.right, node.red);
  if (left < 0 || left !== right) return -1;
  return left + (node.red ? 0 : 1);
}

function inOrder(node: Node | null): number[] {
  return node ? [...inOrder(node.left), node.item, ...inOrder(node.right)] : [];
}

function shape(node: Node | null): string {
  return node ? `${node.item}${node.red ? 'r' : ''}(${shape(node.left)},${shape(node.right)})` : '';
}

function insert(tree: RbTree<number>, item: number): Node {
  const node = new RbNode(item);
  tree.insert(node, (other) => item < other.item);
  return node;
}

it('stays ordered and balanced whatever comes and goes', () => {
  fc.assert(
    fc.property(fc.array(fc.tuple(fc.boolean(), fc.nat(50)), { maxLength: 200 }), (steps) => {
      const tree = new RbTree<number>();
      const nodes: Node[] = [];
      for (const [remove, n] of steps) {
        if (remove && nodes.length > 0) tree.remove(nodes.splice(n % nodes.length, 1)[0]!);
        else nodes.push(insert(tree, n));
        expect(blackHeight(tree.root)).toBeGreaterThanOrEqual(0);
        expect(tree.root?.red ?? false).toBe(false);
        expect(inOrder(tree.root)).toEqual(nodes.map(({ item }) => item).sort((a, b) => a - b));
        expect(tree.leftmost?.item).toBe(inOrder(tree.root)[0]);
      }
    }),
  );
});

// Worked out by hand after lib/rbtree.c.
it('has the shape that the kernel gives it', () => {
  const tree = new RbTree<number>();
  const nodes = [10, 20, 30, 15, 25, 5, 1].map((item) => insert(tree, item));
  expect(shape(tree.root)).toBe('20(10r(5(1r(,),),15(,)),30(25r(,),))');
  tree.remove(nodes[1]!);
  expect(shape(tree.root)).toBe('25(10r(5(1r(,),),15(,)),30(,))');
  tree.remove(nodes[2]!);
  expect(shape(tree.root)).toBe('10(5(1r(,),),25(15r(,),))');
});

it('puts equal ones in the order of their coming', () => {
  const tree = new RbTree<number>();
  const [a, b] = [insert(tree, 1), insert(tree, 1)];
  expect(tree.leftmost).toBe(a);
  tree.remove(a!);
  expect(tree.leftmost).toBe(b);
});

it('gives up its nodes children first', () => {
  const tree = new RbTree<number>();
  for (const item of [2, 1, 3]) insert(tree, item);
  const drained = tree.drain();
  expect(drained.map(({ item }) => item)).toEqual([1, 3, 2]);
  expect(drained.every(({ parent, left, right }) => !parent && !left && !right)).toBe(true);
  expect([tree.root, tree.leftmost]).toEqual([null, null]);
});
