import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { expect, test } from 'vitest';

// Subsystems that prove the public API: what they import from outside of their folder, src/index.ts exports.

const src = fileURLToPath(new URL('../src/', import.meta.url));
const index = readFileSync(join(src, 'index.ts'), 'utf8');
/** Modules of which the index exports everything, and those of which it names what it exports. */
const whole = ['kernel/index.js', 'loader/index.js', 'uapi.js'];
const named = ['argument.js', 'btf/index.js', 'errno.js', 'errors.js', 'table.js', 'vm/types.js'];

test.each(['tcp', 'qdisc'].filter((name) => existsSync(join(src, name))))('src/%s', (folder) => {
  for (const module of whole) expect(index).toContain(`export * from './${module}';`);
  const missing: string[] = [];
  for (const file of readdirSync(join(src, folder))) {
    const text = readFileSync(join(src, folder, file), 'utf8');
    for (const [, names, from] of text.matchAll(/import (?:type )?\{([^}]*)\} from '\.\.\/([^']*)'/g)) {
      if (whole.includes(from!)) continue;
      const exported = new RegExp(`export (?:type )?\\{([^}]*)\\} from './${from!.replaceAll('.', '\\.')}'`).exec(
        index,
      )?.[1];
      for (const name of names!.split(',').map((part) => part.trim().replace('type ', ''))) {
        const known = exported?.split(',').some((part) => part.trim().replace('type ', '') === name);
        if (name !== '' && !(named.includes(from!) && known)) missing.push(`${file}: ${name} of ${from}`);
      }
    }
  }
  expect(missing).toEqual([]);
});
