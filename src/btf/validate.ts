import { InputError, located } from '../errors.js';
import { describe, MAX_DEPTH } from './layout.js';
import { BTF_KIND, type BtfType, type BtfView } from './types.js';

/** What one record must satisfy by itself. */
export function checkType(type: BtfType): void {
  switch (type.kind) {
    case BTF_KIND.INT:
      if (type.size < 1 || type.size > 16 || type.bits > 128 || type.bitOffset + type.bits > type.size * 8) {
        throw new InputError(`int of ${type.size} bytes with ${type.bits} bits at ${type.bitOffset}`);
      }
      break;
    case BTF_KIND.ENUM:
    case BTF_KIND.ENUM64:
      // 0: an enum that was only declared.
      if (![0, 1, 2, 4, 8].includes(type.size)) throw new InputError(`enum of ${type.size} bytes`);
      break;
    case BTF_KIND.FLOAT:
      if (![2, 4, 8, 12, 16].includes(type.size)) throw new InputError(`float of ${type.size} bytes`);
      break;
    case BTF_KIND.STRUCT:
    case BTF_KIND.UNION:
      type.members.forEach((member, i) => {
        if (member.bitOffset + member.bitSize > type.size * 8) {
          throw new InputError(
            `member #${i} "${member.name}" at bit ${member.bitOffset} is past the end of ${type.size} bytes`,
          );
        }
      });
      break;
    default:
  }
}

/** Kinds that each kind may refer to where it needs one of few. */
function checkTargets(btf: BtfView, type: BtfType): void {
  const need = (target: number, kind: number, what: string) => {
    if (btf.kindOf(target) !== kind) {
      throw new InputError(`${what} is ${describe(btf, target)} [${target}]`);
    }
  };
  switch (type.kind) {
    case BTF_KIND.FUNC:
      need(type.type, BTF_KIND.FUNC_PROTO, 'prototype');
      break;
    case BTF_KIND.DATASEC:
      for (const item of type.vars) {
        // Functions stand in .ksyms as clang writes it.
        if (btf.kindOf(item.type) !== BTF_KIND.FUNC) need(item.type, BTF_KIND.VAR, 'variable');
      }
      break;
    default:
  }
}

/** Types that a value of this type holds, or that it is another name for: a cycle of these has no size. */
function held(type: BtfType): readonly number[] {
  switch (type.kind) {
    case BTF_KIND.ARRAY:
      return [type.type];
    case BTF_KIND.STRUCT:
    case BTF_KIND.UNION:
      return type.members.map((member) => member.type);
    case BTF_KIND.TYPEDEF:
    case BTF_KIND.CONST:
    case BTF_KIND.VOLATILE:
    case BTF_KIND.RESTRICT:
    case BTF_KIND.TYPE_TAG:
    case BTF_KIND.VAR:
      return [type.type];
    default:
      return [];
  }
}

/** Checks every type from `firstId` on, and that no type holds itself or nests too deep. */
export function validate(btf: BtfView, firstId: number): void {
  // Depth below each type, by post-order walk with an own stack: 0 is unvisited, -1 is being visited.
  const depths = new Int32Array(btf.typeCount);
  for (let id = firstId; id < btf.typeCount; id++) {
    const type = btf.type(id);
    try {
      checkTargets(btf, type);
    } catch (error) {
      throw located(`type [${id}]`, error);
    }
    if (depths[id] === 0) walk(btf, id, depths);
  }
}

function walk(btf: BtfView, root: number, depths: Int32Array): void {
  const stack: { id: number; targets: readonly number[]; next: number; depth: number }[] = [];
  const enter = (id: number) => {
    depths[id] = -1;
    stack.push({ id, targets: held(btf.type(id)), next: 0, depth: 1 });
  };
  enter(root);
  for (let top = stack.at(-1); top !== undefined; top = stack.at(-1)) {
    const target = top.targets[top.next++];
    if (target === undefined) {
      depths[top.id] = top.depth;
      stack.pop();
      const below = stack.at(-1);
      if (below !== undefined) below.depth = Math.max(below.depth, top.depth + 1);
      if (top.depth > MAX_DEPTH) throw new InputError(`type [${top.id}]: nested more than ${MAX_DEPTH} deep`);
    } else if (depths[target] === -1) {
      throw new InputError(`type [${target}]: ${describe(btf, target)} contains itself`);
    } else if ((depths[target] as number) > 0) {
      top.depth = Math.max(top.depth, (depths[target] as number) + 1);
    } else enter(target);
  }
}
