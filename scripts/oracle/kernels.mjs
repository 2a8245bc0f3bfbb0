// Kernels of Debian's packages, unpacked under build/oracle/: apt on private lists, nothing installed, no root.
import { execFileSync } from 'node:child_process';
import { existsSync, mkdirSync, readdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { debianMirror } from '../debian_mirror.mjs';

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

const SUITE = 'trixie-backports';
const KEYRING = '/usr/share/keyrings/debian-archive-keyring.gpg';

/** Path of a kernel image; downloads its package on first use. */
export function kernelImage(cache, name) {
  const kernel = KERNELS[name];
  const dir = join(cache, kernel.release);
  const image = join(dir, 'tree', kernel.vmlinuz);
  if (existsSync(image)) return image;
  for (const sub of ['lists/partial', 'cache/archives/partial']) mkdirSync(join(dir, sub), { recursive: true });
  writeFileSync(join(dir, 'sources.list'), `deb [signed-by=${KEYRING}] ${debianMirror()} ${SUITE} main\n`);
  const options = {
    'Dir::Etc::sourcelist': join(dir, 'sources.list'),
    'Dir::Etc::sourceparts': '-',
    'Dir::State::lists': join(dir, 'lists'),
    'Dir::Cache': join(dir, 'cache'),
    'APT::Sandbox::User': '',
  };
  const apt = ['-qq', ...Object.entries(options).flatMap(([key, value]) => ['-o', `${key}=${value}`])];
  const run = (command, args) => execFileSync(command, args, { cwd: dir, stdio: ['ignore', 'ignore', 'inherit'] });
  run('apt-get', [...apt, 'update']);
  run('apt-get', [...apt, 'download', kernel.package]);
  const deb = readdirSync(dir).find((file) => file.endsWith('.deb'));
  const tar = execFileSync('dpkg-deb', ['--fsys-tarfile', deb], { cwd: dir, maxBuffer: 1 << 30 });
  mkdirSync(join(dir, 'tree'));
  execFileSync('tar', ['-x', '-C', 'tree', `./${kernel.vmlinuz}`], { cwd: dir, input: tar });
  return image;
}
