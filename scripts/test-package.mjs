// npm run test:package: packs the package, installs the tarball into empty projects on each supported Node major, and uses it
// as its users do: ESM import, TypeScript, the command line through npx. Newer Nodes come from the registry's `node` package.
import { execFileSync } from 'node:child_process';
import { copyFileSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { delimiter, dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { publint } from 'publint';
import { formatMessage } from 'publint/utils';

const root = fileURLToPath(new URL('..', import.meta.url));
const MAJORS = ['20', '22', '24'];

const USE = `
import { readFileSync } from 'node:fs';
import { Kernel, openObject, parseObject } from 'vmtable';
const bytes = readFileSync('setup.bpf.o');
const spec = parseObject(bytes, { name: 'setup' });
const kernel = await Kernel.create();
const object = openObject(spec);
object.load(kernel);
console.log(spec.programs.length + ' program, ' + object.maps.length + ' maps');
object.close();
kernel.dispose();
`;

const TYPED = `
import { Kernel, openObject, parseObject, type ObjectSpec } from 'vmtable';
export async function load(bytes: Uint8Array): Promise<string> {
  const spec: ObjectSpec = parseObject(bytes, { name: 'setup' });
  const kernel: Kernel = await Kernel.create({ cpus: 2, profile: '6.18' });
  const object = openObject(spec);
  object.load(kernel);
  return spec.license;
}
`;

function run(command, args, options = {}) {
  return execFileSync(command, args, { encoding: 'utf8', stdio: ['ignore', 'pipe', 'inherit'], ...options });
}

function check(what, ok) {
  if (!ok) throw new Error(`test:package: ${what}`);
  console.log(`  ok  ${what}`);
}

/** Nothing but built code, types, profiles and the documents that belong to a package. */
const ALLOWED =
  /^(dist\/((src|assembly)\/.*\.d\.ts|lib\/.*\.js|elfy\.js)|profiles\/[\w.]+|package\.json|README\.md|LICENSE|NOTICE|CHANGELOG\.md)$/;

const work = mkdtempSync(join(tmpdir(), 'vmtable-package-'));
try {
  const [packed] = JSON.parse(
    run('npm', ['pack', '--json', '--silent', '--ignore-scripts', '--pack-destination', work], { cwd: root }),
  );
  const needless = packed.files.map((file) => file.path).filter((path) => !ALLOWED.test(path));
  check(
    `${packed.files.length} files, ${(packed.size / 2 ** 20).toFixed(1)} MB, nothing needless: ${needless.join(', ') || 'none'}`,
    needless.length === 0,
  );

  const { messages } = await publint({ pkgDir: root, strict: true });
  const pkg = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8'));
  check(`publint: ${messages.map((m) => formatMessage(m, pkg)).join('; ') || 'no complaint'}`, messages.length === 0);

  for (const major of MAJORS) {
    const project = join(work, `node-${major}`);
    mkdirSync(project);
    writeFileSync(join(project, 'package.json'), JSON.stringify({ name: 'user', private: true, type: 'module' }));
    const own = process.versions.node.startsWith(`${major}.`);
    const wants = [join(work, packed.filename), 'typescript@5.9', '@types/node@20', ...(own ? [] : [`node@${major}`])];
    run('npm', ['install', '--silent', '--no-audit', '--no-fund', ...wants], { cwd: project });
    const nodeDir = own ? dirname(process.execPath) : join(project, 'node_modules', 'node', 'bin');
    const env = { ...process.env, PATH: nodeDir + delimiter + process.env.PATH };
    const inProject = { cwd: project, env };
    console.log(`Node ${run('node', ['--version'], inProject).trim()}`);

    copyFileSync(join(root, 'samples/setup.bpf.o'), join(project, 'setup.bpf.o'));
    writeFileSync(join(project, 'use.mjs'), USE);
    writeFileSync(join(project, 'typed.ts'), TYPED);
    const answer = run('node', ['use.mjs'], inProject).trim();
    check(`import and load: ${answer}`, answer.startsWith('1 program'));
    for (const resolution of [
      ['nodenext', 'nodenext'],
      ['esnext', 'bundler'],
    ]) {
      const flags = [
        '--noEmit',
        '--strict',
        '--target',
        'es2022',
        '--module',
        resolution[0],
        '--moduleResolution',
        resolution[1],
      ];
      run('node', ['node_modules/typescript/bin/tsc', ...flags, 'typed.ts'], inProject);
      check(`types resolve with moduleResolution ${resolution[1]}`, true);
    }
    const inspected = JSON.parse(
      run('npx', ['--no-install', 'vmtable', 'inspect', 'setup.bpf.o', '--json'], inProject),
    );
    check('npx vmtable inspect', inspected.programs.length === 1);
    const private_ = run(
      'node',
      [
        '--input-type=module',
        '-e',
        "await import('vmtable/dist/src/vm/vm.js').then(() => console.log('open'), (e) => console.log(e.code))",
      ],
      inProject,
    );
    check('nothing private is exported', private_.trim() === 'ERR_PACKAGE_PATH_NOT_EXPORTED');
  }
  console.log('test:package passed');
} finally {
  rmSync(work, { recursive: true, force: true });
}
