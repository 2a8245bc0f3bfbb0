#!/usr/bin/env node
// npm run profiles: makes profiles/<version>.btf.gz, .names.gz and .config.json anew.
//
//   node scripts/profiles.mjs [VERSION…]             7.3 and 6.18 from Debian's binary packages (network, no root, nothing
//                                                    installed: apt works on private lists in a temporary folder)
//   node scripts/profiles.mjs --from-source DIR      6.12 from a kernel tree; see BUILD_6_12 below
//   node scripts/profiles.mjs --names [VERSION…]     only the .names.gz, from the committed .btf.gz (no network)
//   node scripts/profiles.mjs --check …              compares with the committed files instead of writing them
//
// Needs apt-get, dpkg-deb, zstd, gzip; for --from-source also what the kernel's build needs and pahole.
import { execFileSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { gunzipSync } from 'node:zlib';
import { Btf, makeNameOrder } from '../dist/src/btf/index.js';
import { BACKPORTS, downloadPackages, unpackPackage } from './debian_download.mjs';
import { elfSection } from './elf_section.mjs';

/** Debian took 6.18's packages apart differently from 7.3's: kernel and config lie in one package or in two. */
const DEBIAN = {
  7.3: {
    packages: ['linux-binary-7.3.4+deb13-cloud-amd64', 'linux-base-7.3.4+deb13-cloud-amd64'],
    vmlinuz: 'usr/lib/modules/7.3.4+deb13-cloud-amd64/vmlinuz',
    config: 'usr/lib/modules/7.3.4+deb13-cloud-amd64/config',
  },
  6.18: {
    packages: ['linux-image-6.18.15+deb13-cloud-amd64'],
    vmlinuz: 'boot/vmlinuz-6.18.15+deb13-cloud-amd64',
    config: 'boot/config-6.18.15+deb13-cloud-amd64',
  },
};

/**
 * No Debian package of 6.12 has sched_ext switched on, so this profile comes from Debian's source:
 *
 *   apt-get install linux-source-6.12 dwarves build-essential flex bison bc libelf-dev libssl-dev
 *   tar xf /usr/src/linux-source-6.12.tar.xz && cd linux-source-6.12
 *   make tinyconfig && scripts/kconfig/merge_config.sh -m .config PROFILES/6.12.fragment && make olddefconfig
 *   make -j2 vmlinux                     (a quarter of an hour on two cores)
 *   node scripts/profiles.mjs --from-source .
 *
 * The fragment keeps the types that sched_ext, BPF and TCP programs ask for; everything else is left out, so this BTF has
 * half the size of a distribution's, and `doctor` says so when a type is missing.
 */
const BUILD_6_12 = '6.12';

const root = fileURLToPath(new URL('..', import.meta.url));
const { values: options, positionals } = parseArgs({
  allowPositionals: true,
  options: { check: { type: 'boolean' }, names: { type: 'boolean' }, 'from-source': { type: 'string' } },
});
let differ = 0;

function run(command, args, input) {
  try {
    return execFileSync(command, args, { input, maxBuffer: 1 << 30, stdio: ['pipe', 'pipe', 'inherit'] });
  } catch (error) {
    if (error.code === 'ENOENT') throw new Error(`${command} is not installed`);
    throw error;
  }
}

/** The ELF kernel inside a bzImage (Documentation/arch/x86/boot.rst: setup_sects, payload_offset, payload_length). */
function unpackKernel(image) {
  const payload = (image[0x1f1] + 1) * 512 + image.readUInt32LE(0x248);
  // The build appends the unpacked size as four bytes (scripts/Makefile.lib, size_append).
  return run('zstd', ['-dc'], image.subarray(payload, payload + image.readUInt32LE(0x24c) - 4));
}

/** Options that are set, as `extern … __kconfig` sees them: one JSON object in the order of the kernel's own file. */
function configJson(text) {
  const set = {};
  for (const [, name, value] of text.matchAll(/^(CONFIG_\w+)=(.*)$/gm)) set[name] = value;
  return `${JSON.stringify(set, null, 0).replaceAll('","', '",\n"')}\n`;
}

function emit(file, bytes) {
  const path = join(root, 'profiles', file);
  if (!options.check) writeFileSync(path, bytes);
  else if (!readFileSync(path).equals(bytes)) {
    differ++;
    console.log(`profiles/${file} differs`);
    return;
  }
  console.log(`profiles/${file}  ${bytes.length} bytes${options.check ? ', as committed' : ''}`);
}

function emitProfile(version, kernel, config) {
  const btf = elfSection(kernel, '.BTF');
  if (btf.readUInt16LE(0) !== 0xeb9f) throw new Error('.BTF does not begin with the magic of BTF');
  const packed = run('gzip', ['-n', '-9'], btf);
  emit(`${version}.btf.gz`, packed);
  emitNames(version, packed);
  emit(`${version}.config.json`, Buffer.from(configJson(config.toString('latin1'))));
}

/** The order of a BTF's names, see src/btf/name_order.ts. The stream's last 8 bytes begin with the CRC-32 of the blob. */
function emitNames(version, packed) {
  const order = makeNameOrder(Btf.parse(new Uint8Array(gunzipSync(packed))), packed.readUInt32LE(packed.length - 8));
  emit(`${version}.names.gz`, run('gzip', ['-n', '-9'], order));
}

const source = options['from-source'];
if (options.names) {
  for (const version of positionals.length > 0 ? positionals : [...Object.keys(DEBIAN), BUILD_6_12]) {
    emitNames(version, readFileSync(join(root, 'profiles', `${version}.btf.gz`)));
  }
} else if (source !== undefined) {
  emitProfile(BUILD_6_12, readFileSync(join(source, 'vmlinux')), readFileSync(join(source, '.config')));
} else {
  for (const version of positionals.length > 0 ? positionals : Object.keys(DEBIAN)) {
    const debian = DEBIAN[version];
    if (debian === undefined) throw new Error(`${version}: not one of ${Object.keys(DEBIAN).join(', ')}`);
    const dir = mkdtempSync(join(tmpdir(), 'profile-'));
    try {
      const tree = join(dir, 'tree');
      for (const deb of downloadPackages(dir, debian.packages, BACKPORTS)) unpackPackage(deb, tree);
      emitProfile(
        version,
        unpackKernel(readFileSync(join(tree, debian.vmlinuz))),
        readFileSync(join(tree, debian.config)),
      );
    } finally {
      rmSync(dir, { recursive: true, force: true });
    }
  }
}
process.exitCode = differ > 0 ? 1 : 0;
