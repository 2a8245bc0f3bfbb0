#!/usr/bin/env node
// npm run fuzz: hostile objects and programs until it is stopped.
//
//   npm run fuzz -- [--target NAME…] [--runs N] [--seconds N] [--seed S [--path P]]
//
// Targets and properties are those of test/hostile (fuzz.ts there lists them); Vite compiles them as it does for the tests.
// Each batch says its seed. A failure is shrunk and printed with the command that repeats it; status 1 if there was one.
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { createServer } from 'vite';

const root = fileURLToPath(new URL('..', import.meta.url));

function usage(message) {
  console.error(`fuzz: ${message}`);
  process.exit(2);
}

function number(options, name, otherwise) {
  const text = options[name];
  if (text === undefined) return otherwise;
  const value = Number(text);
  if (text.trim() === '' || !Number.isSafeInteger(value)) usage(`--${name} wants a whole number, not "${text}"`);
  return value;
}

function parse() {
  try {
    return parseArgs({
      options: {
        target: { type: 'string', multiple: true },
        runs: { type: 'string' },
        seconds: { type: 'string' },
        seed: { type: 'string' },
        path: { type: 'string' },
      },
    }).values;
  } catch (error) {
    return usage(error.message);
  }
}

const options = parse();
if (options.path !== undefined && (options.seed === undefined || options.target?.length !== 1)) {
  usage('--path needs the --seed and the one --target that it belongs to');
}
const limits = {
  runs: number(options, 'runs', Number.POSITIVE_INFINITY),
  seconds: number(options, 'seconds', Number.POSITIVE_INFINITY),
  seed: number(options, 'seed', Date.now() & 0x7fffffff),
};

const server = await createServer({
  root,
  configFile: false,
  appType: 'custom',
  logLevel: 'error',
  optimizeDeps: { noDiscovery: true },
  server: { middlewareMode: true, hmr: false, ws: false, watch: null },
  resolve: {
    alias: {
      '#platform': `${root}src/platform/node.ts`,
      '#elfy': `${root}dist/elfy.js`,
      vmtable: `${root}src/index.ts`,
    },
  },
});
try {
  const { fuzz, TARGETS } = await server.ssrLoadModule('/test/hostile/fuzz.ts');
  const targets = options.target ?? Object.keys(TARGETS);
  for (const name of targets) {
    if (!Object.hasOwn(TARGETS, name)) usage(`no target "${name}" (there are: ${Object.keys(TARGETS).join(', ')})`);
  }
  const failures = await fuzz({ ...limits, targets, path: options.path, say: (line) => console.log(line) });
  if (failures > 0) process.exitCode = 1;
} finally {
  await server.close();
}
