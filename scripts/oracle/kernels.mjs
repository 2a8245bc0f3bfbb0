// Kernels of Debian's packages, unpacked under build/oracle/: apt on private lists, nothing installed, no root. One is built
// there from Debian's source.
import { execFileSync } from 'node:child_process';
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { BACKPORTS, downloadPackages, unpackPackage, unpackSource } from '../debian_download.mjs';
import { elfSection } from '../elf_section.mjs';

/** What can be booted, by the name of the profile it answers for. */
export const KERNELS = {
  7.3: {
    release: '7.3.4',
    package: 'linux-binary-7.3.4+deb13-cloud-amd64',
    vmlinuz: 'usr/lib/modules/7.3.4+deb13-cloud-amd64/vmlinuz',
  },
  6.18: {
    release: '6.18.15',
    package: 'linux-image-6.18.15+deb13-cloud-amd64',
    vmlinuz: 'boot/vmlinuz-6.18.15+deb13-cloud-amd64',
  },
  /** Debian's own 6.12 kernels have sched_ext switched off: this is the kernel that the profile was taken from. */
  6.12: {
    release: '6.12.117',
    source: 'linux-source-6.12=6.12.117-1~deb12u1',
    fragment: fileURLToPath(new URL('../../profiles/6.12.fragment', import.meta.url)),
    vmlinuz: 'arch/x86/boot/bzImage',
    machine: { installed: false },
  },
};

/** The kernel's version line is part of what it prints: the same wherever it was built. */
const BUILD = {
  KBUILD_BUILD_TIMESTAMP: 'Wed Jan  1 00:00:00 UTC 2020',
  KBUILD_BUILD_USER: 'oracle',
  KBUILD_BUILD_HOST: 'oracle',
  KBUILD_BUILD_VERSION: '1',
};

/** Path of a kernel image; downloads its package on first use, and builds what comes as source. */
export function kernelImage(cache, name) {
  const kernel = KERNELS[name];
  const dir = join(cache, kernel.release);
  const image = join(dir, 'tree', kernel.vmlinuz);
  if (existsSync(image)) return image;
  if (kernel.source) return buildKernel(dir, kernel);
  const [deb] = downloadPackages(dir, [kernel.package], BACKPORTS);
  unpackPackage(deb, join(dir, 'tree'), [kernel.vmlinuz]);
  return image;
}

/** The BTF of a kernel that was built here, whose types are numbered otherwise than the profile's; undefined for the others. */
export function kernelBtf(cache, name) {
  const { source, release } = KERNELS[name];
  return source && elfSection(readFileSync(join(cache, release, 'tree/vmlinux')), '.BTF');
}

/** A quarter of an hour on two cores; needs what scripts/profiles.mjs names for its build. */
function buildKernel(dir, { source, fragment, vmlinuz }) {
  const tree = join(dir, 'tree');
  const [deb] = downloadPackages(dir, [source]);
  unpackSource(deb, tree, []);
  const run = (command, ...args) =>
    execFileSync(command, args, {
      cwd: tree,
      env: { ...process.env, ...BUILD },
      stdio: ['ignore', 'ignore', 'inherit'],
    });
  run('make', '-s', 'tinyconfig');
  run('scripts/kconfig/merge_config.sh', '-m', '.config', fragment);
  run('make', '-s', 'olddefconfig');
  run('make', '-s', '-j2', 'bzImage');
  return join(tree, vmlinuz);
}
