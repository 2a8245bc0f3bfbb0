import fc from 'fast-check';
import { beforeEach, expect, test } from 'vitest';
import { Kernel } from '../../../src/kernel/kernel.js';
import type { KernelCgroup } from '../../../src/kernel/model/cgroup.js';

let k: Kernel;
beforeEach(async () => {
  k = await Kernel.create({ cpus: 1 });
});

const NAMES = ['a', 'b', 'c'];

test('cgroups know their path, level and ancestors, and are found by them, whatever was made and removed', () => {
  const step = fc.record({ parent: fc.nat(), name: fc.constantFrom(...NAMES), removes: fc.boolean() });
  fc.assert(
    fc.property(fc.array(step, { maxLength: 30 }), (steps) => {
      const { cgroups } = k;
      /** Those that are there, root first, as the names that lead to them. */
      const live = new Map<KernelCgroup, readonly string[]>([[cgroups.root, []]]);
      const held: KernelCgroup[] = [];
      for (const { parent, name, removes } of steps) {
        const [at, parts] = [...live][parent % live.size]!;
        if (removes && at !== cgroups.root && at.liveChildren.length === 0) {
          // Somebody holds it: it stays among its parent's children.
          expect(cgroups.tryGet(at)).toBe(true);
          cgroups.remove(at);
          held.push(at);
          live.delete(at);
          expect(cgroups.byPath(`/${parts.join('/')}`)).toBeUndefined();
        } else if (!at.child(name)) live.set(cgroups.create(at, name), [...parts, name]);
      }
      for (const [cgroup, parts] of live) {
        expect([cgroup.path, cgroup.level]).toEqual([`/${parts.join('/')}`, parts.length]);
        expect(cgroups.byPath(cgroup.path)).toBe(cgroup);
        for (let level = 0; level <= parts.length; level++) {
          const ancestor = cgroups.byPath(`/${parts.slice(0, level).join('/')}`);
          expect(cgroup.ancestor(level)).toBe(ancestor);
          expect(cgroup.isWithin(ancestor!)).toBe(true);
        }
        expect(cgroup.ancestor(parts.length + 1)).toBeUndefined();
        for (const name of NAMES) expect(cgroup.child(name)).toBe(cgroups.byPath(`${cgroup.path}/${name}`));
      }
      for (const cgroup of held) cgroups.put(cgroup);
      for (const cgroup of [...live.keys()].reverse()) if (cgroup !== cgroups.root) cgroups.remove(cgroup);
    }),
    { numRuns: 60 },
  );
});
