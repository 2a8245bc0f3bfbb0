// Bundles elfy with the two functions that it needs of Node (assert, util.inherits), so that the package runs unchanged where
// there is no Node: dist/elfy.js, which package.json's import `#elfy` names.
import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { build } from 'vite';

const root = fileURLToPath(new URL('..', import.meta.url));

const NODE_MODULES = {
  assert: `
    const assert = (value, message) => {
      if (!value) throw new Error(message ?? 'assertion failed');
    };
    module.exports = assert;
    assert.equal = (a, b, message) => assert(a == b, message ?? \`\${a} is not \${b}\`);`,
  util: `
    module.exports.inherits = (constructor, parent) => {
      Object.setPrototypeOf(constructor.prototype, parent.prototype);
    };`,
};

const licence = (name) => {
  const { version, author } = JSON.parse(readFileSync(`${root}/node_modules/${name}/package.json`, 'utf8'));
  return `${name} ${version}, MIT licence, ${typeof author === 'string' ? author : author.name}`;
};

await build({
  root,
  configFile: false,
  logLevel: 'warn',
  plugins: [
    {
      name: 'node-for-elfy',
      enforce: 'pre',
      resolveId: (id) => (id in NODE_MODULES ? `\0${id}.cjs` : undefined),
      load: (id) => (id.startsWith('\0') ? NODE_MODULES[id.slice(1, -4)] : undefined),
    },
  ],
  build: {
    outDir: 'dist',
    emptyOutDir: false,
    copyPublicDir: false,
    target: 'es2022',
    minify: false,
    lib: { entry: fileURLToPath(import.meta.resolve('elfy')), formats: ['es'], fileName: () => 'elfy.js' },
    rolldownOptions: { output: { banner: `// ${licence('elfy')}; ${licence('endian-reader')}.` } },
  },
});
