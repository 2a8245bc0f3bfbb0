#!/usr/bin/env node
// npm run oracle: asks real kernels and writes down what they answer.
//
//   npm run oracle -- [SUITE…] [--kernel V…] [--machine NAME…] [--check] [--console FILE]
//
// A suite is a folder of test/oracle with a suite.mjs. Its runner is compiled statically, packed as the initramfs of a Debian
// kernel (downloaded once, into build/oracle/) and booted in QEMU without acceleration and with a clock that counts
// instructions, so that a second run writes the same bytes. --check compares with the committed recordings instead of writing.
// --console keeps what the machine's serial line said, in FILE.<machine>.
import { execFileSync } from 'node:child_process';
import { existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join, relative } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { initramfs } from './oracle/initramfs.mjs';
import { KERNELS, kernelBtf, kernelImage } from './oracle/kernels.mjs';
import { boot, MACHINES } from './oracle/machine.mjs';

const root = fileURLToPath(new URL('..', import.meta.url));
const SUITES = join(root, 'test/oracle');
const CACHE = join(root, 'build/oracle');
const NEEDS = {
  'qemu-system-x86_64': 'qemu-system-x86',
  gcc: 'gcc libc6-dev',
  'apt-get': 'apt',
  'dpkg-deb': 'dpkg',
  tar: 'tar',
};

/** Says in one line what is missing; installs nothing. */
function checkTools() {
  const found = (tool) => (process.env.PATH ?? '').split(':').some((dir) => existsSync(join(dir, tool)));
  const missing = Object.keys(NEEDS).filter((tool) => !found(tool));
  if (missing.length === 0) return;
  console.error(
    `oracle: missing ${missing.join(', ')}; on Debian: apt-get install ${missing.map((t) => NEEDS[t]).join(' ')}`,
  );
  process.exit(2);
}

let differ = 0;

async function record(name, kernelName, options) {
  const { suite } = await import(join(SUITES, name, 'suite.mjs'));
  if (!suite.kernels.includes(kernelName)) return;
  const machines = (suite.machines ?? ['two']).filter((one) => !options.machine || options.machine.includes(one));
  for (const machine of machines) {
    if (suite.boots && !(await suite.boots(kernelName, MACHINES[machine]))) continue;
    await bootAndWrite(suite, kernelName, machine, options);
  }
}

async function bootAndWrite(suite, kernelName, machineName, { check, console: consoleFile }) {
  const kernel = KERNELS[kernelName];
  const machine = { ...MACHINES[machineName], ...kernel.machine };
  const image = kernelImage(CACHE, kernelName);
  const dir = mkdtempSync(join(tmpdir(), 'oracle-'));
  try {
    const init = join(dir, 'init');
    const defines = ['_GNU_SOURCE', ...(machine.defines ?? [])].map((macro) => `-D${macro}`);
    execFileSync('gcc', ['-std=gnu11', ...defines, '-O2', '-Wall', '-static', '-o', init, ...suite.sources], {
      stdio: 'inherit',
    });
    const initrd = join(dir, 'initrd.gz');
    writeFileSync(
      initrd,
      initramfs(suite.directories, {
        init: readFileSync(init),
        ...(await suite.files(kernelName, machine, kernelBtf(CACHE, kernelName))),
      }),
    );
    const text = await boot({ image, initrd, cache: CACHE, machine });
    if (consoleFile !== undefined) writeFileSync(`${consoleFile}.${machineName}`, text);
    const target = suite.recordings(kernel.release);
    for (const [file, content] of Object.entries(await suite.record(text, kernel, machine))) {
      const path = join(target, file);
      mkdirSync(dirname(path), { recursive: true });
      const same = existsSync(path) && readFileSync(path, 'utf8') === content;
      if (!same) differ++;
      if (!same && !check) writeFileSync(path, content);
      console.log(`${relative(root, path)}  ${same ? 'as before' : check ? 'differs' : 'written'}`);
    }
  } finally {
    rmSync(dir, { recursive: true, force: true });
  }
}

const { values: options, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    kernel: { type: 'string', multiple: true, default: Object.keys(KERNELS) },
    machine: { type: 'string', multiple: true },
    check: { type: 'boolean', default: false },
    console: { type: 'string' },
  },
});
const known = readdirSync(SUITES).filter((name) => existsSync(join(SUITES, name, 'suite.mjs')));
const wanted = positionals.length > 0 ? positionals : known;
const unknown = [
  ...wanted.filter((name) => !known.includes(name)).map((name) => `suite ${name} is not one of ${known.join(', ')}`),
  ...options.kernel
    .filter((name) => !KERNELS[name])
    .map((name) => `kernel ${name} is not one of ${Object.keys(KERNELS).join(', ')}`),
];
if (unknown.length > 0) {
  console.error(`oracle: ${unknown.join('; ')}`);
  process.exit(2);
}
checkTools();
for (const name of wanted) for (const kernel of options.kernel) await record(name, kernel, options);
if (options.check && differ > 0) process.exitCode = 1;
