// Bundles what tsc wrote into dist/lib: the library, the command line and what they share are a few files instead of two
// hundred, which Node opens and links in a tenth of the time. `#platform` stays an import, so that one bundle serves Node and
// browsers; the platforms are entries of their own that share the package's errors with the rest.
import { rmSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { build } from 'vite';

const root = fileURLToPath(new URL('..', import.meta.url));
const ENTRIES = {
  index: 'dist/src/index.js',
  cli: 'dist/src/cli/main.js',
  // Two folders below dist as in dist/src, which is how they find the package's root.
  'platform/node': 'dist/src/platform/node.js',
  'platform/browser': 'dist/src/platform/browser.js',
};

/** Escapes what is not ASCII, which stands in strings only: V8 keeps a text with wider characters in twice the memory, and reads it more slowly. */
const ascii = {
  name: 'ascii',
  generateBundle(_, bundle) {
    for (const file of Object.values(bundle)) {
      if (file.type === 'chunk') file.code = file.code.replaceAll(/[\u0080-\uffff]/g, escaped);
    }
  },
};
const escaped = (unit) => `\\u${unit.charCodeAt(0).toString(16).padStart(4, '0')}`;

rmSync(`${root}dist/lib`, { recursive: true, force: true });
await build({
  root,
  configFile: false,
  logLevel: 'warn',
  plugins: [ascii],
  build: {
    ssr: true,
    outDir: 'dist/lib',
    copyPublicDir: false,
    target: 'es2022',
    minify: false,
    rolldownOptions: {
      input: Object.fromEntries(Object.entries(ENTRIES).map(([name, path]) => [name, root + path])),
      external: ['#platform', '#elfy'],
      output: { entryFileNames: '[name].js', chunkFileNames: 'shared/[name].js', comments: false },
    },
  },
});
