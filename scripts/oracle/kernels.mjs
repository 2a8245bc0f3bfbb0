// Kernels of Debian's packages, unpacked under build/oracle/: apt on private lists, nothing installed, no root.
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { BACKPORTS, downloadPackages, unpackPackage } from '../debian_download.mjs';

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
};

/** Path of a kernel image; downloads its package on first use. */
export function kernelImage(cache, name) {
  const kernel = KERNELS[name];
  const dir = join(cache, kernel.release);
  const image = join(dir, 'tree', kernel.vmlinuz);
  if (existsSync(image)) return image;
  const [deb] = downloadPackages(dir, [kernel.package], BACKPORTS);
  unpackPackage(deb, join(dir, 'tree'), [kernel.vmlinuz]);
  return image;
}
