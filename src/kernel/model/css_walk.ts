import type { CgroupTree, Css } from './cgroup.js';

/** `pre` and `post` walk down, `up` to the root, `children` one level. */
export type CssOrder = 'self' | 'pre' | 'post' | 'up' | 'children';

/** The state after `pos` (undefined: the first) on a walk from `start`, undefined at the end. */
export function cssNext(tree: CgroupTree, order: CssOrder, pos: Css | undefined, start: Css): Css | undefined {
  switch (order) {
    case 'self':
      return pos ? undefined : start;
    case 'pre':
      return pos ? nextPre(tree, pos, start) : start;
    case 'post':
      return nextPost(tree, pos, start);
    case 'up':
      return pos ? tree.cssParent(pos) : start;
    case 'children':
      return pos ? sibling(tree, pos) : tree.cssChildren(start)[0];
  }
}

/** css_next_child() */
function sibling(tree: CgroupTree, css: Css): Css | undefined {
  const parent = tree.cssParent(css);
  if (!parent) return undefined;
  // By serial number, for the one that it stands on may have left the list.
  return tree.cssChildren(parent).find(({ cgroup }) => cgroup.serial > css.cgroup.serial);
}

/** css_next_descendant_pre() */
function nextPre(tree: CgroupTree, pos: Css, root: Css): Css | undefined {
  const [child] = tree.cssChildren(pos);
  if (child) return child;
  for (let at: Css | undefined = pos; at && at.ptr !== root.ptr; at = tree.cssParent(at)) {
    const next = sibling(tree, at);
    if (next) return next;
  }
  return undefined;
}

/** css_next_descendant_post() */
function nextPost(tree: CgroupTree, pos: Css | undefined, root: Css): Css | undefined {
  if (!pos) return leftmost(tree, root);
  if (pos.ptr === root.ptr) return undefined;
  const next = sibling(tree, pos);
  return next ? leftmost(tree, next) : tree.cssParent(pos);
}

function leftmost(tree: CgroupTree, css: Css): Css {
  const [child] = tree.cssChildren(css);
  return child ? leftmost(tree, child) : css;
}
